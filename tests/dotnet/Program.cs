// SPDX-License-Identifier: MIT
//
// usage: cases.exe CASE      runs one case; exit status 0, or 1 and the reason on stdout
using System;
using System.Collections.Generic;

public static class Program
{
    static readonly Dictionary<string, Action> cases = new Dictionary<string, Action> {
        { "ReAllocKeepsAndClears", HeapCases.ReAllocKeepsAndClears },
        { "EnumMembers", HeapCases.EnumMembers },
        { "TagShiftStaysInPlace", HeapCases.TagShiftStaysInPlace },
        { "ErrorIsNotStale", HeapCases.ErrorIsNotStale },
        { "SuccessKeepsError", HeapCases.SuccessKeepsError },
        { "Configured", HeapCases.Configured },
        { "TwoGibibytes", HeapCases.TwoGibibytes },
        { "LargeSizes", HeapCases.LargeSizes },
        { "GenerateExceptionsReturnsZero", HeapCases.GenerateExceptionsReturnsZero },
        { "OneProcessHeap", LinkCases.OneProcessHeap },
        { "OneLibrary", LinkCases.OneLibrary },
        { "TaskAllocator", TaskCases.TaskAllocator },
        { "SpyInCSharp", TaskCases.SpyInCSharp },
        { "BlocksCrossThreads", ThreadCases.BlocksCrossThreads },
    };

    public static int Main(string[] args)
    {
        try {
            cases[args[0]]();
            Console.WriteLine("good");
            return 0;
        } catch (Exception problem) {
            Console.WriteLine(problem.GetType().Name + ": " + problem.Message);
            return 1;
        }
    }
}
