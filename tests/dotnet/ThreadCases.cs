// SPDX-License-Identifier: MIT
//
// Threads of the runtime, and its collector, which stops them where they are.
using System;
using System.Runtime.InteropServices;
using System.Threading;

public static class ThreadCases
{
    const int Threads = 4, Blocks = 5000, Rounds = 3;

    static IntPtr heap;
    static readonly IntPtr[][] blocks = new IntPtr[Threads][];
    static int allocated, freed, collections;
    static string wrong; // the first failure of a thread

    static uint BytesOf(int i)
    {
        return (uint)(8 + i * 37 % 3000);
    }

    // Each block begins and ends with its number.
    static void Allocate(int thread)
    {
        for (int i = 0; i < Blocks; i++) {
            uint bytes = BytesOf(i);
            IntPtr block = NativeMethods.HeapAlloc(heap, HeapFlags.None, bytes / 2 + 4);
            Check.That(block != IntPtr.Zero, "HeapAlloc failed");
            Marshal.WriteInt32(block, i + thread);
            block = NativeMethods.HeapReAlloc(heap, HeapFlags.ZeroMemory, block, bytes);
            Check.That(block != IntPtr.Zero, "HeapReAlloc failed");
            Marshal.WriteInt32(block, (int)bytes - 4, i + thread);
            blocks[thread][i] = block;
            Interlocked.Increment(ref allocated);
        }
    }

    // What another thread allocated, which has ended.
    static void Free(int thread)
    {
        int other = (thread + 1) % Threads;
        for (int i = 0; i < Blocks; i++) {
            IntPtr block = blocks[other][i];
            uint size = NativeMethods.HeapSize(heap, HeapFlags.None, block);
            Check.That(size == BytesOf(i), "HeapSize is {0}, not {1}", size, BytesOf(i));
            Check.That(Marshal.ReadInt32(block) == i + other &&
                       Marshal.ReadInt32(block, (int)size - 4) == i + other, "another block");
            Check.That(NativeMethods.HeapFree(heap, HeapFlags.None, block), "HeapFree failed");
            Interlocked.Increment(ref freed);
        }
    }

    static void Run(Action<int> job)
    {
        Thread[] threads = new Thread[Threads];
        for (int i = 0; i < Threads; i++) {
            int number = i;
            threads[i] = new Thread(() => {
                try {
                    job(number);
                } catch (CaseFailed problem) {
                    wrong = wrong ?? problem.Message;
                }
            });
            threads[i].Start();
        }
        foreach (Thread thread in threads)
            do {
                GC.Collect();
                collections++;
            } while (!thread.Join(1));
    }

    public static void BlocksCrossThreads()
    {
        heap = NativeMethods.HeapCreate(HeapFlags.None, 0, 0);
        for (int i = 0; i < Threads; i++)
            blocks[i] = new IntPtr[Blocks];
        for (int round = 0; round < Rounds && wrong == null; round++) {
            Run(Allocate);
            Run(Free);
        }
        Check.That(wrong == null, "{0}", wrong);
        int all = Threads * Blocks * Rounds;
        Check.That(allocated == all && freed == all, "{0} allocated, {1} freed", allocated, freed);
        Check.That(collections >= 2 * Threads * Rounds, "{0} collections", collections);
        Check.That(NativeMethods.HeapDestroy(heap), "HeapDestroy refused the heap");
    }
}
