// SPDX-License-Identifier: MIT
//
// Sends what an assembly imports from kernel32, kernelbase, ole32 and combase, in any spelling,
// to libmolehill-win32. For .NET 5 and later on Linux; Mono has maps instead. Copy this file into
// the program, and call MolehillResolver.Install() before the first import is called. The
// library is looked for as any other is: beside the program, then where the loader looks.
#if NET5_0_OR_GREATER
using System;
using System.Reflection;
using System.Runtime.InteropServices;

namespace Molehill
{
    public static class MolehillResolver
    {
        const string Library = "libmolehill-win32.so.0";

        static readonly string[] Names = { "kernel32", "kernelbase", "ole32", "combase" };

        // For the imports of the calling assembly. Throws InvalidOperationException when that
        // has a resolver already: call Resolve from it.
        public static void Install()
        {
            Install(Assembly.GetCallingAssembly());
        }

        // For the imports of another assembly, such as a library of declarations.
        public static void Install(Assembly assembly)
        {
            NativeLibrary.SetDllImportResolver(assembly, Resolve);
        }

        // The library's handle, or IntPtr.Zero: the name is not one of those, or this is not
        // Linux. .NET then goes on as if there were no resolver. Throws
        // DllNotFoundException when the library cannot be found.
        public static IntPtr Resolve(string name, Assembly assembly, DllImportSearchPath? path)
        {
            if (!IsOurs(name) || !RuntimeInformation.IsOSPlatform(OSPlatform.Linux))
                return IntPtr.Zero;
            return NativeLibrary.Load(Library, assembly, path);
        }

        static bool IsOurs(string name)
        {
            if (name.EndsWith(".dll", StringComparison.OrdinalIgnoreCase))
                name = name.Substring(0, name.Length - 4);
            foreach (string ours in Names)
                if (name.Equals(ours, StringComparison.OrdinalIgnoreCase))
                    return true;
            return false;
        }
    }
}
#endif
