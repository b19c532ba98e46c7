// SPDX-License-Identifier: MIT
//
// COM's task allocator from ole32, and a spy on it that is written in C#: an object whose table
// of methods is made of delegates, since .NET has no COM on Linux.
using System;
using System.Runtime.InteropServices;

public static class TaskCases
{
    [DllImport("ole32.dll")]
    static extern int CoGetMalloc(uint context, out IntPtr malloc);

    [DllImport("ole32.dll")]
    static extern IntPtr CoTaskMemAlloc(UIntPtr bytes);

    [DllImport("ole32.dll")]
    static extern IntPtr CoTaskMemRealloc(IntPtr block, UIntPtr bytes);

    [DllImport("ole32.dll")]
    static extern void CoTaskMemFree(IntPtr block);

    [DllImport("ole32.dll")]
    static extern int CoRegisterMallocSpy(IntPtr spy);

    [DllImport("ole32.dll")]
    static extern int CoRevokeMallocSpy();

    delegate UIntPtr GetSize(IntPtr self, IntPtr block);

    static T Method<T>(IntPtr self, int slot)
    {
        IntPtr table = Marshal.ReadIntPtr(self);
        return Marshal.GetDelegateForFunctionPointer<T>(
            Marshal.ReadIntPtr(table, slot * IntPtr.Size));
    }

    public static void TaskAllocator()
    {
        IntPtr malloc, none;
        Check.That(CoGetMalloc(1, out malloc) == 0, "CoGetMalloc failed");
        Check.That(malloc != IntPtr.Zero, "CoGetMalloc gave no allocator");
        Check.That(CoGetMalloc(2, out none) == unchecked((int)0x80070057) &&
                   none == IntPtr.Zero, "CoGetMalloc(2) gave {0}", none);
        IntPtr block = CoTaskMemAlloc((UIntPtr)27);
        Check.That(block != IntPtr.Zero, "CoTaskMemAlloc gave no block");
        Check.Fill(block, 0, 27, 0x11);
        block = CoTaskMemRealloc(block, (UIntPtr)100);
        Check.Holds(block, 0, 27, 0x11, "reallocated");
        ulong size = (ulong)Method<GetSize>(malloc, 6)(malloc, block);
        Check.That(size == 100, "GetSize of 100 bytes is {0}", size);
        CoTaskMemFree(block);
    }

    public static void SpyInCSharp()
    {
        MallocSpy spy = new MallocSpy();
        Check.That(CoRegisterMallocSpy(spy.Pointer) == 0, "CoRegisterMallocSpy failed");
        IntPtr block = CoTaskMemAlloc((UIntPtr)100);
        spy.Heard("PreAlloc 100, PostAlloc");
        block = CoTaskMemRealloc(block, (UIntPtr)200);
        spy.Heard("PreRealloc 200 spied, PostRealloc spied");
        CoTaskMemFree(block);
        spy.Heard("PreFree spied, PostFree spied");
        // The runtime's own task memory is the C library's, not ours.
        Marshal.FreeCoTaskMem(Marshal.AllocCoTaskMem(100));
        spy.Heard("");
        Check.That(CoRevokeMallocSpy() == 0, "CoRevokeMallocSpy failed");
        CoTaskMemFree(CoTaskMemAlloc((UIntPtr)100));
        spy.Heard("");
        GC.KeepAlive(spy);
    }
}
