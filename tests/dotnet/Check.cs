// SPDX-License-Identifier: MIT
//
// What the cases share: failing in words, and the two modes they run under.
using System;
using System.Runtime.InteropServices;

public class CaseFailed : Exception
{
    public CaseFailed(string what) : base(what) { }
}

public static class Check
{
    // Win32 codes, and what errno is instead by default.
    public const int NotEnoughMemory = 8, InvalidParameter = 87, InvalidHandle = 6;
    public const int NoAccess = 998;
    const int ENOMEM = 12, EFAULT = 14, EINVAL = 22;

    public static void That(bool holds, string what, params object[] args)
    {
        if (!holds)
            throw new CaseFailed(string.Format(what, args));
    }

    public static bool IsCompat()
    {
        string conf = Environment.GetEnvironmentVariable("MOLEHILL_CONF") ?? "";
        return conf.Contains("compat:windows");
    }

    // What the failing call just made is said to have failed with: errno, which mirrors the Win32
    // code under compat:windows only.
    public static void LastError(int code, string what)
    {
        int got = Marshal.GetLastWin32Error();
        int wanted = code == NotEnoughMemory ? ENOMEM : code == NoAccess ? EFAULT : EINVAL;
        wanted = IsCompat() ? code : wanted;
        That(got == wanted, "{0}: GetLastWin32Error() is {1}, not {2}", what, got, wanted);
    }

    public static void Fill(IntPtr block, int from, int to, byte value)
    {
        for (int i = from; i < to; i++)
            Marshal.WriteByte(block, i, value);
    }

    public static void Holds(IntPtr block, int from, int to, byte value, string what)
    {
        for (int i = from; i < to; i++)
            That(Marshal.ReadByte(block, i) == value, "{0}: byte {1} is {2}, not {3}", what, i,
                 Marshal.ReadByte(block, i), value);
    }

    // A heap whose free memory is dirty, so that cleared bytes are cleared and not new.
    public static IntPtr DirtyHeap(HeapFlags flags)
    {
        IntPtr heap = NativeMethods.HeapCreate(flags, 0, 0);
        That(heap != IntPtr.Zero, "HeapCreate gave no heap");
        foreach (uint bytes in new uint[] { 10, 20, 40 }) {
            IntPtr[] blocks = new IntPtr[64];
            for (int i = 0; i < blocks.Length; i++) {
                blocks[i] = NativeMethods.HeapAlloc(heap, HeapFlags.None, bytes);
                That(blocks[i] != IntPtr.Zero, "HeapAlloc gave no block");
                Fill(blocks[i], 0, (int)bytes, 0xDD);
            }
            foreach (IntPtr block in blocks)
                That(NativeMethods.HeapFree(heap, HeapFlags.None, block), "HeapFree failed");
        }
        return heap;
    }
}
