// SPDX-License-Identifier: MIT
//
// Declarations as wrappers of the Win32 API have them for .NET on Windows: a class NativeMethods,
// an enum of flags that is signed and holds what are no flags, sizes of 32 bits. Compiled into
// the tests' program, and as an assembly of its own.
using System;
using System.Runtime.InteropServices;

[Flags]
public enum HeapFlags
{
    None = 0,
    NoSerialize = 0x1,
    Growable = 0x2,
    GenerateExceptions = 0x4,
    ZeroMemory = 0x8,
    ReAllocInPlaceOnly = 0x10,
    TagShift = 18, // a shift count
    TailCheckingEnabled = 0x20,
    FreeCheckingEnabled = 0x40,
    DisableCoalesceOnFree = 0x80,
    CreateSegmentHeap = 0x100,
    CreateHardened = 0x200,
    MaximumTag = 0xFFF, // a number of tags
    PseudoTagFlag = 0x8000,
    CreateAlign16 = 0x10000,
    CreateEnableTracing = 0x20000,
    CreateEnableExecute = 0x40000
}

public static class NativeMethods
{
    [DllImport("Kernel32.dll", SetLastError = true)]
    public static extern IntPtr HeapCreate(HeapFlags flags, uint initial, uint maximum);

    [DllImport("Kernel32.dll", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static extern bool HeapDestroy(IntPtr heap);

    [DllImport("Kernel32.dll", SetLastError = true)]
    public static extern IntPtr HeapAlloc(IntPtr heap, HeapFlags flags, uint bytes);

    [DllImport("Kernel32.dll", SetLastError = true)]
    public static extern IntPtr HeapReAlloc(IntPtr heap, HeapFlags flags, IntPtr block,
                                            uint bytes);

    [DllImport("Kernel32.dll", SetLastError = true)]
    [return: MarshalAs(UnmanagedType.Bool)]
    public static extern bool HeapFree(IntPtr heap, HeapFlags flags, IntPtr block);

    [DllImport("Kernel32.dll", SetLastError = true)]
    public static extern uint HeapSize(IntPtr heap, HeapFlags flags, IntPtr block);

    [DllImport("Kernel32.dll", SetLastError = true)]
    public static extern IntPtr GetProcessHeap();

    [DllImport("Kernel32.dll", SetLastError = true)]
    public static extern void SetLastError(uint code);

    [DllImport("Kernel32.dll")]
    public static extern uint GetLastError();

    // The same with sizes of the processor's width, as new wrappers have them.
    [DllImport("kernel32.dll", SetLastError = true)]
    public static extern IntPtr HeapAlloc(IntPtr heap, HeapFlags flags, UIntPtr bytes);

    [DllImport("kernel32.dll", SetLastError = true)]
    public static extern IntPtr HeapReAlloc(IntPtr heap, HeapFlags flags, IntPtr block,
                                            UIntPtr bytes);

    [DllImport("kernel32.dll", EntryPoint = "HeapSize", SetLastError = true)]
    public static extern UIntPtr HeapSizeWide(IntPtr heap, HeapFlags flags, IntPtr block);
}
