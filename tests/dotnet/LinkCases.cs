// SPDX-License-Identifier: MIT
//
// The library by every name that has a link: one library, one process heap.
using System;
using System.Runtime.InteropServices;

public static class LinkCases
{
    const int RTLD_NOW = 2, RTLD_NOLOAD = 4;

    [DllImport("libc.so.6")]
    static extern IntPtr dlopen(string path, int flags);

    // Mono looks for these by name, but for kernel32.dll, which it maps.
    [DllImport("kernel32", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap1();
    [DllImport("Kernel32", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap2();
    [DllImport("KERNEL32", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap3();
    [DllImport("kernelbase", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap4();
    [DllImport("KernelBase", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap5();
    [DllImport("ole32", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap6();
    [DllImport("Ole32", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap7();
    [DllImport("OLE32", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap8();
    [DllImport("combase", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap9();
    [DllImport("kernelbase.dll", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap10();
    [DllImport("KernelBase.dll", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap11();
    [DllImport("ole32.dll", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap12();
    [DllImport("Ole32.dll", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap13();
    [DllImport("OLE32.dll", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap14();
    [DllImport("combase.dll", EntryPoint = "GetProcessHeap")] static extern IntPtr Heap15();

    [DllImport("kernel32")]
    static extern UIntPtr HeapSize(IntPtr heap, HeapFlags flags, IntPtr block);

    [DllImport("ole32")]
    static extern IntPtr CoTaskMemAlloc(UIntPtr bytes);

    [DllImport("OLE32")]
    static extern void CoTaskMemFree(IntPtr block);

    static readonly Func<IntPtr>[] heaps = { Heap1, Heap2, Heap3, Heap4, Heap5, Heap6, Heap7,
        Heap8, Heap9, Heap10, Heap11, Heap12, Heap13, Heap14, Heap15 };

    public static void OneProcessHeap()
    {
        IntPtr heap = Heap1();
        Check.That(heap != IntPtr.Zero, "no process heap");
        for (int i = 0; i < heaps.Length; i++)
            Check.That(heaps[i]() == heap, "Heap{0} is another process heap", i + 1);
        IntPtr block = CoTaskMemAlloc((UIntPtr)27);
        ulong size = (ulong)HeapSize(heap, HeapFlags.None, block);
        Check.That(size == 27, "kernel32 gives a block of ole32 the size {0}", size);
        CoTaskMemFree(block);
    }

    public static void OneLibrary()
    {
        OneProcessHeap();
        string[] names = { "kernel32", "Kernel32", "KERNEL32", "kernelbase", "KernelBase",
            "ole32", "Ole32", "OLE32", "combase" };
        IntPtr library = dlopen("libmolehill-win32.so.0", RTLD_NOW | RTLD_NOLOAD);
        Check.That(library != IntPtr.Zero, "the library is not loaded");
        foreach (string name in names)
            foreach (string ending in new string[] { ".so", ".dll.so" }) {
                string file = "lib" + name + ending;
                Check.That(dlopen(file, RTLD_NOW) == library, "{0} is another library", file);
            }
    }
}
