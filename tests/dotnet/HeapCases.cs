// SPDX-License-Identifier: MIT
//
// The heap functions through the declarations of NativeMethods.cs.
using System;
using System.Runtime.InteropServices;

public static class HeapCases
{
    const HeapFlags Plain = HeapFlags.None, Zero = HeapFlags.ZeroMemory;

    static IntPtr Take(IntPtr heap, HeapFlags flags, uint bytes)
    {
        IntPtr block = NativeMethods.HeapAlloc(heap, flags, bytes);
        Check.That(block != IntPtr.Zero, "HeapAlloc of {0} bytes failed", bytes);
        return block;
    }

    static void Done(IntPtr heap)
    {
        Check.That(NativeMethods.HeapDestroy(heap), "HeapDestroy refused the heap");
    }

    static void IsSize(IntPtr heap, IntPtr block, uint bytes)
    {
        uint size = NativeMethods.HeapSize(heap, Plain, block);
        Check.That(size == bytes, "HeapSize is {0}, not {1}", size, bytes);
    }

    public static void ReAllocKeepsAndClears()
    {
        IntPtr heap = Check.DirtyHeap(Plain);
        IntPtr block = Take(heap, Zero, 10);
        Check.Holds(block, 0, 10, 0, "new");
        Check.Fill(block, 0, 10, 0xA5);
        block = NativeMethods.HeapReAlloc(heap, Zero, block, 20u);
        Check.That(block != IntPtr.Zero, "HeapReAlloc from 10 to 20 bytes failed");
        IsSize(heap, block, 20);
        Check.Holds(block, 0, 10, 0xA5, "grown");
        Check.Holds(block, 10, 20, 0, "grown");
        Check.Fill(block, 10, 20, 0x5A);
        block = NativeMethods.HeapReAlloc(heap, Plain, block, 15u);
        IsSize(heap, block, 15);
        block = NativeMethods.HeapReAlloc(heap, Zero, block, 30u);
        Check.Holds(block, 0, 10, 0xA5, "grown again");
        Check.Holds(block, 10, 15, 0x5A, "grown again");
        Check.Holds(block, 15, 30, 0, "grown again");
        Check.That(NativeMethods.HeapFree(heap, Plain, block), "HeapFree refused a live block");
        Done(heap);
    }

    // Members of the enum that are no flags of a call mean nothing, and break nothing.
    public static void EnumMembers()
    {
        foreach (HeapFlags flags in Enum.GetValues(typeof(HeapFlags))) {
            IntPtr heap = NativeMethods.HeapCreate(flags, 0, 0);
            Check.That(heap != IntPtr.Zero, "HeapCreate({0}) failed", flags);
            IntPtr block = Take(heap, flags, 100);
            Check.Fill(block, 0, 100, 0x77);
            block = NativeMethods.HeapReAlloc(heap, flags, block, 90u);
            Check.That(block != IntPtr.Zero, "HeapReAlloc({0}) failed", flags);
            Check.Holds(block, 0, 90, 0x77, flags.ToString());
            Check.That(NativeMethods.HeapFree(heap, flags, block), "HeapFree({0})", flags);
            Done(heap);
        }
    }

    // 18, a shift count, has the bit of ReAllocInPlaceOnly, and no other that HeapReAlloc reads.
    public static void TagShiftStaysInPlace()
    {
        IntPtr heap = Check.DirtyHeap(Plain);
        IntPtr block = Take(heap, HeapFlags.TagShift, 20);
        Check.Fill(block, 0, 20, 0x33);
        IntPtr same = NativeMethods.HeapReAlloc(heap, HeapFlags.TagShift, block, 12u);
        Check.That(same == block, "the block moved");
        IntPtr none = NativeMethods.HeapReAlloc(heap, HeapFlags.TagShift, block, 100000u);
        Check.That(none == IntPtr.Zero, "20 bytes grew to 100000 where they are");
        IsSize(heap, block, 12);
        Check.Holds(block, 0, 12, 0x33, "after the failure");
        Done(heap);
    }

    public static void ErrorIsNotStale()
    {
        IntPtr heap = Check.DirtyHeap(Plain);
        IntPtr block = Take(heap, Plain, 20);
        Check.That(!NativeMethods.HeapFree(heap, Plain, (IntPtr)1), "HeapFree(1) succeeded");
        Check.LastError(Check.InvalidParameter, "HeapFree(1)");
        IntPtr none = NativeMethods.HeapReAlloc(heap, HeapFlags.ReAllocInPlaceOnly, block,
                                                100000u);
        Check.That(none == IntPtr.Zero, "20 bytes grew to 100000 where they are");
        Check.LastError(Check.NotEnoughMemory, "HeapReAlloc in place");
        Check.That(!NativeMethods.HeapDestroy((IntPtr)4096), "HeapDestroy(4096) succeeded");
        Check.LastError(Check.InvalidHandle, "HeapDestroy(4096)");
        none = NativeMethods.HeapAlloc(heap, Plain, (UIntPtr)ulong.MaxValue);
        Check.That(none == IntPtr.Zero, "HeapAlloc of everything succeeded");
        Check.LastError(Check.NotEnoughMemory, "HeapAlloc of everything");
        if (Check.IsCompat())
            ErrorsMirrored(heap);
        Done(heap);
    }

    static void ErrorsMirrored(IntPtr heap)
    {
        Check.That(NativeMethods.GetLastError() == 8, "GetLastError() is {0}, not 8",
                   NativeMethods.GetLastError());
        NativeMethods.HeapSize(heap, Plain, (IntPtr)1);
        Check.LastError(Check.InvalidParameter, "HeapSize(1)");
        NativeMethods.SetLastError(1234);
        Check.LastError(1234, "SetLastError(1234)");
        System.IO.File.Exists("/nowhere/at/all"); // which errno tells of
        Check.That(NativeMethods.GetLastError() == 1234, "GetLastError() is errno");
        NativeMethods.HeapReAlloc(heap, Plain, IntPtr.Zero, 20u);
        Check.LastError(0, "HeapReAlloc of no block");
        Check.That(NativeMethods.GetLastError() == 0, "GetLastError() is not 0 after that");
    }

    static bool Keeps(Action call)
    {
        NativeMethods.SetLastError(1234);
        call();
        bool kept = Marshal.GetLastWin32Error() == 1234;
        Check.That(NativeMethods.GetLastError() == 1234, "success set the last error");
        return kept;
    }

    // Success leaves errno alone. The runtime may write it between two calls, but not always.
    public static void SuccessKeepsError()
    {
        if (!Check.IsCompat())
            return; // SetLastError does not write it then
        IntPtr heap = IntPtr.Zero, small = heap, large = heap;
        Action[] calls = {
            () => heap = NativeMethods.HeapCreate(Plain, 0, 0),
            () => small = NativeMethods.HeapAlloc(heap, Plain, 50u),
            () => NativeMethods.HeapAlloc(heap, Plain, 50u), // the usual path
            () => large = NativeMethods.HeapAlloc(heap, Plain, 9000000u),
            () => small = NativeMethods.HeapReAlloc(heap, Zero, small, 1000u),
            () => large = NativeMethods.HeapReAlloc(heap, Zero, large, 20000000u),
            () => NativeMethods.HeapSize(heap, Plain, large),
            () => NativeMethods.HeapFree(heap, Plain, small),
            () => NativeMethods.HeapFree(heap, Plain, large),
            () => NativeMethods.HeapDestroy(heap),
        };
        int[] kept = new int[calls.Length];
        for (int i = 0; i < 100; i++)
            for (int call = 0; call < calls.Length; call++)
                kept[call] += Keeps(calls[call]) ? 1 : 0;
        for (int call = 0; call < calls.Length; call++)
            Check.That(kept[call] > 0, "call {0} never left errno as it was", call);
    }

    [DllImport("libmolehill.so.0", CharSet = CharSet.Ansi)]
    static extern int mh_configure(string text);

    // From the program, before its first heap call; without MOLEHILL_CONF.
    public static void Configured()
    {
        Check.That(mh_configure("compat:windows") == 0, "mh_configure failed");
        NativeMethods.HeapReAlloc(NativeMethods.GetProcessHeap(), Plain, (IntPtr)1, 20u);
        int got = Marshal.GetLastWin32Error();
        Check.That(got == Check.InvalidParameter, "GetLastWin32Error() is {0}, not 87", got);
    }

    // A constant of 32 bits with the highest bit set reaches the library as nearly 2^64.
    public static void TwoGibibytes()
    {
        IntPtr heap = Check.DirtyHeap(Plain);
        IntPtr block = Take(heap, Plain, 20);
        Check.Fill(block, 0, 20, 0x44);
        IntPtr none = NativeMethods.HeapReAlloc(heap, Plain, block, 0x80000000u);
        Check.That(none == IntPtr.Zero, "HeapReAlloc to 0x80000000 gave {0}", none);
        Check.LastError(Check.NotEnoughMemory, "HeapReAlloc to 0x80000000");
        none = NativeMethods.HeapReAlloc(heap, Zero, block, unchecked((uint)-5));
        Check.That(none == IntPtr.Zero, "HeapReAlloc to 2^32 - 5 gave {0}", none);
        Check.LastError(Check.NotEnoughMemory, "HeapReAlloc to 2^32 - 5");
        none = NativeMethods.HeapAlloc(heap, Zero, 0x80000000u);
        Check.That(none == IntPtr.Zero, "HeapAlloc of 0x80000000 gave {0}", none);
        Check.LastError(Check.NotEnoughMemory, "HeapAlloc of 0x80000000");
        IsSize(heap, block, 20);
        Check.Holds(block, 0, 20, 0x44, "after the failures");
        Done(heap);
    }

    // Sizes from 2 GiB on that are no constants: that very size, or a failure.
    public static void LargeSizes()
    {
        IntPtr heap = Check.DirtyHeap(Plain);
        foreach (uint bytes in new uint[] { 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF }) {
            IntPtr block = NativeMethods.HeapAlloc(heap, Plain, bytes);
            if (block == IntPtr.Zero) {
                Check.LastError(Check.NotEnoughMemory, "HeapAlloc");
                continue;
            }
            ulong size = (ulong)NativeMethods.HeapSizeWide(heap, Plain, block);
            Check.That(size == bytes, "{0} bytes are {1}", bytes, size);
            Marshal.WriteByte((IntPtr)((long)block + bytes - 1), 1);
            Check.That(NativeMethods.HeapFree(heap, Plain, block), "HeapFree({0})", bytes);
        }
        uint failed = NativeMethods.HeapSize(heap, Plain, (IntPtr)1);
        Check.That(failed == uint.MaxValue, "a failing HeapSize gave {0}", failed);
        Done(heap);
    }

    [DllImport("kernel32.dll")]
    static extern uint GetExceptionCode();

    static void Raised(IntPtr got, uint status, int error, string what)
    {
        Check.That(got == IntPtr.Zero, "{0} gave {1}", what, got);
        Check.LastError(error, what);
        Check.That(GetExceptionCode() == status, "{0}: status {1:X}, not {2:X}", what,
                   GetExceptionCode(), status);
        Check.That((int)NativeMethods.GetLastError() == error, "{0}: the last error is {1}", what,
                   NativeMethods.GetLastError());
        NativeMethods.SetLastError(0);
    }

    // Under unhandled:return. The program is not aborted, and nothing unwinds through it.
    public static void GenerateExceptionsReturnsZero()
    {
        const HeapFlags Raise = HeapFlags.GenerateExceptions;
        const int memory = Check.NotEnoughMemory;
        const uint NoMemory = 0xC0000017, AccessViolation = 0xC0000005;
        UIntPtr all = (UIntPtr)ulong.MaxValue;
        foreach (HeapFlags created in new HeapFlags[] { Plain, Raise }) {
            HeapFlags call = created == Raise ? Plain : Raise;
            IntPtr heap = Check.DirtyHeap(created);
            IntPtr block = Take(heap, call, 20);
            Check.Fill(block, 0, 20, 0x66);
            Raised(NativeMethods.HeapAlloc(heap, call, all), NoMemory, memory, "HeapAlloc");
            Raised(NativeMethods.HeapReAlloc(heap, call, block, 0x80000000u), NoMemory, memory,
                   "HeapReAlloc to 0x80000000");
            Raised(NativeMethods.HeapReAlloc(heap, call | HeapFlags.ReAllocInPlaceOnly, block,
                                             100000u), NoMemory, memory, "HeapReAlloc in place");
            Raised(NativeMethods.HeapReAlloc(heap, call, IntPtr.Zero, 20u), AccessViolation,
                   Check.NoAccess, "HeapReAlloc of no block");
            IsSize(heap, block, 20);
            Check.Holds(block, 0, 20, 0x66, "after the failures");
            Done(heap);
        }
    }
}
