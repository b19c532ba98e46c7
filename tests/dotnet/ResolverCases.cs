// SPDX-License-Identifier: MIT
//
// dotnet/MolehillResolver.cs over a NativeLibrary of our own, since Mono has none. What .NET does
// with the resolver is not tried here; what the resolver answers is.
//
// usage: resolver.exe NAME...     the names that are ours; exit status 0, or 1 and the reason
using System;
using System.Reflection;
using System.Runtime.InteropServices;
using Molehill;

namespace System.Runtime.InteropServices
{
    public delegate IntPtr DllImportResolver(string name, Assembly assembly,
                                             DllImportSearchPath? path);

    public static class NativeLibrary
    {
        public static DllImportResolver Resolver;
        public static Assembly ResolverOf;

        [DllImport("libc.so.6")]
        static extern IntPtr dlopen(string path, int flags);

        public static void SetDllImportResolver(Assembly assembly, DllImportResolver resolver)
        {
            ResolverOf = assembly;
            Resolver = resolver;
        }

        public static IntPtr Load(string name, Assembly assembly, DllImportSearchPath? path)
        {
            IntPtr library = dlopen(name, 2);
            if (library == IntPtr.Zero)
                throw new DllNotFoundException(name);
            return library;
        }
    }
}

public static class ResolverCases
{
    static readonly string[] others = { "libc", "kernel", "kernel32x", "xkernel32", "ole3", "",
        ".dll", "kernel32.so", "libkernel32", "user32.dll" };

    [DllImport("libmolehill-win32.so.0")]
    static extern IntPtr GetProcessHeap();

    static IntPtr Resolve(string name)
    {
        return NativeLibrary.Resolver(name, NativeLibrary.ResolverOf, null);
    }

    static void Try(string[] names)
    {
        MolehillResolver.Install();
        Check.That(NativeLibrary.ResolverOf == typeof(ResolverCases).Assembly,
                   "the resolver is for another assembly");
        Check.That(GetProcessHeap() != IntPtr.Zero, "no process heap");
        IntPtr library = NativeLibrary.Load("libmolehill-win32.so.0", null, null);
        foreach (string name in names)
            foreach (string spelling in new string[] {
                    name, name + ".dll", name + ".DLL", name.ToUpperInvariant() + ".dll" })
                Check.That(Resolve(spelling) == library, "{0} is not resolved", spelling);
        foreach (string name in others)
            Check.That(Resolve(name) == IntPtr.Zero, "\"{0}\" is taken for ours", name);
    }

    public static int Main(string[] names)
    {
        try {
            Check.That(names.Length > 0, "no names");
            Try(names);
            Console.WriteLine("good");
            return 0;
        } catch (Exception problem) {
            Console.WriteLine(problem.GetType().Name + ": " + problem.Message);
            return 1;
        }
    }
}
