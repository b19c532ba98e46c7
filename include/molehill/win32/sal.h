/* SPDX-License-Identifier: MIT */
/*
 * The annotations of parameters that Windows sources carry most often. They say nothing
 * to the compiler. The older ones in small letters (__in, __out) are not there: the C++
 * library uses these names.
 */
#pragma once

#define _In_
#define _In_opt_
#define _In_z_
#define _In_reads_(count)
#define _In_reads_opt_(count)
#define _In_reads_bytes_(bytes)
#define _In_reads_bytes_opt_(bytes)
#define _Out_
#define _Out_opt_
#define _Out_writes_(count)
#define _Out_writes_opt_(count)
#define _Out_writes_bytes_(bytes)
#define _Out_writes_bytes_opt_(bytes)
#define _Outptr_
#define _Outptr_opt_
#define _Outptr_result_maybenull_
#define _COM_Outptr_
#define _COM_Outptr_opt_
#define _Inout_
#define _Inout_opt_
#define _Frees_ptr_opt_
#define _Pre_
#define _Post_
#define _Pre_maybenull_
#define _Pre_null_
#define _Pre_valid_
#define _Post_invalid_
#define _Post_ptr_invalid_
#define _Post_writable_byte_size_(bytes)
#define _Ret_maybenull_
#define _Ret_notnull_
#define _Check_return_
#define _Must_inspect_result_
#define _Success_(condition)
#define _When_(condition, what)
#define _Reserved_
#define _Interlocked_operand_
#define _Printf_format_string_
#define _Use_decl_annotations_
