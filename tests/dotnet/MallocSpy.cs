// SPDX-License-Identifier: MIT
//
// An IMallocSpy by hand: fifteen delegates, their pointers in a table, the table's address in an
// object. It passes everything on and writes down what it hears.
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

public class MallocSpy
{
    delegate int QueryInterface(IntPtr self, IntPtr iid, out IntPtr found);
    delegate uint Count(IntPtr self);
    delegate UIntPtr PreAlloc(IntPtr self, UIntPtr bytes);
    delegate IntPtr PostAlloc(IntPtr self, IntPtr block);
    delegate IntPtr Translate(IntPtr self, IntPtr block, int isSpied);
    delegate void PostFree(IntPtr self, int isSpied);
    delegate UIntPtr PreRealloc(IntPtr self, IntPtr block, UIntPtr bytes, out IntPtr inner,
                                int isSpied);
    delegate UIntPtr PostGetSize(IntPtr self, UIntPtr bytes, int isSpied);
    delegate int PostDidAlloc(IntPtr self, IntPtr block, int isSpied, int answer);
    delegate void Minimize(IntPtr self);

    public readonly IntPtr Pointer;
    readonly Delegate[] methods; // the table does not keep them alive
    readonly List<string> heard = new List<string>();

    public MallocSpy()
    {
        methods = new Delegate[] {
            new QueryInterface(Query), new Count(self => 1), new Count(self => 1),
            new PreAlloc((self, bytes) => Note("PreAlloc " + bytes, bytes)),
            new PostAlloc((self, block) => Note("PostAlloc", block)),
            new Translate((self, block, spied) => Note("PreFree" + Spied(spied), block)),
            new PostFree((self, spied) => Note("PostFree" + Spied(spied), 0)),
            new PreRealloc(BeforeRealloc),
            new Translate((self, block, spied) => Note("PostRealloc" + Spied(spied), block)),
            new Translate((self, block, spied) => Note("PreGetSize" + Spied(spied), block)),
            new PostGetSize((self, bytes, spied) => Note("PostGetSize" + Spied(spied), bytes)),
            new Translate((self, block, spied) => Note("PreDidAlloc" + Spied(spied), block)),
            new PostDidAlloc((self, block, spied, answer) => Note("PostDidAlloc", answer)),
            new Minimize(self => Note("PreHeapMinimize", 0)),
            new Minimize(self => Note("PostHeapMinimize", 0)),
        };
        // From the C library, and kept: the process may allocate until it ends.
        IntPtr table = Marshal.AllocHGlobal(methods.Length * IntPtr.Size);
        for (int i = 0; i < methods.Length; i++)
            Marshal.WriteIntPtr(table, i * IntPtr.Size,
                                Marshal.GetFunctionPointerForDelegate(methods[i]));
        Pointer = Marshal.AllocHGlobal(IntPtr.Size);
        Marshal.WriteIntPtr(Pointer, table);
    }

    // What was heard since the last time.
    public void Heard(string wanted)
    {
        string got = string.Join(", ", heard);
        heard.Clear();
        Check.That(got == wanted, "the spy heard \"{0}\", not \"{1}\"", got, wanted);
    }

    static string Spied(int isSpied)
    {
        return isSpied != 0 ? " spied" : "";
    }

    T Note<T>(string what, T passedOn)
    {
        heard.Add(what);
        return passedOn;
    }

    int Query(IntPtr self, IntPtr iid, out IntPtr found)
    {
        Guid spy = new Guid("0000001D-0000-0000-C000-000000000046");
        bool isSpy = (Guid)Marshal.PtrToStructure(iid, typeof(Guid)) == spy;
        found = isSpy ? self : IntPtr.Zero;
        return isSpy ? 0 : unchecked((int)0x80004002); // E_NOINTERFACE
    }

    UIntPtr BeforeRealloc(IntPtr self, IntPtr block, UIntPtr bytes, out IntPtr inner, int spied)
    {
        inner = block;
        return Note("PreRealloc " + bytes + Spied(spied), bytes);
    }
}
