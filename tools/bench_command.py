# SPDX-License-Identifier: MIT
"""What the commands of ./dev that measure share: options, building, the allocators that there
are, programs run on them, machine and commit, the files that are left, and how they end.

Used by bench.py, latency.py, many.py, traces.py, fragmentation.py, costs.py and instructions.py;
by itself it tests itself."""
import argparse
import contextlib
import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINE = 'jemalloc'
TIMEOUT_S = 180

# Names to preload; the dynamic linker finds them, as it would for a user. '' is glibc's own.
PEERS = {
    'glibc': '',
    'jemalloc': 'libjemalloc.so.2',
    'mimalloc': 'libmimalloc.so.2.0',
    'tcmalloc': 'libtcmalloc_minimal.so.4',
    'tbbmalloc': 'libtbbmalloc_proxy.so.2',
}

# Options that several commands have.
SHARED = {
    'targets': {'help': 'only these allocators, a,b,c'},
    'peer': {'action': 'append', 'default': [], 'metavar': 'NAME=PATH',
             'help': 'one more malloc to preload; may be given several times'},
    'no-build': {'action': 'store_true', 'help': 'take the programs as they are'},
    'build': {'default': 'build/gcc', 'help': 'the build directory (%(default)s)'},
    'out': {'default': 'build/bench', 'help': 'where results go (%(default)s)'},
    'self-test': {'action': 'store_true', 'help': 'see that this script works'},
}


# --- what is said while it runs ---------------------------------------------------------------


def say(text, who='bench'):
    print(f'{who}: {text}', file=sys.stderr, flush=True)


def show_progress(text, is_new_row):
    """One line that is overwritten on a terminal; elsewhere a line for each row of the list."""
    if sys.stderr.isatty():
        print(f'\r\033[Kbench: {text}', end='', file=sys.stderr, flush=True)
    elif is_new_row:
        say(text)


# --- options ----------------------------------------------------------------------------------


def make_parser(command, doc):
    """`doc` is the command's, whose first line tells what it does."""
    return argparse.ArgumentParser(prog=f'./dev {command}', description=doc.splitlines()[0])


def share(parser, *names, **changes):
    """Adds some of SHARED; `changes` to what they have there."""
    for name in names:
        parser.add_argument(f'--{name}', **{**SHARED[name], **changes})


def add_runs(parser, usual, quick):
    parser.add_argument('--runs', type=int,
                        help=f'how often each is run ({usual}; quick: {quick})')
    parser.set_defaults(usual_runs=usual, quick_runs=quick)


def parse(parser, words=None):
    options = parser.parse_args(words)
    if options.runs is None:
        options.runs = options.quick_runs if options.quick else options.usual_runs
    if options.runs < 1:
        parser.error('--runs must be at least 1')
    return options


# --- programs ---------------------------------------------------------------------------------


def build(folder, *targets):
    if subprocess.run(['ninja', '-C', ROOT / folder, '--quiet', *targets], stdout=sys.stderr,
                      check=False).returncode != 0:
        raise SystemExit(f'bench: {folder} does not build')


def run(command, environment=None, timeout=TIMEOUT_S):
    """Its (stdout, stderr); RuntimeError with a reason when it failed, or ran on another malloc
    than LD_PRELOAD names."""
    environment = os.environ if environment is None else environment
    try:
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True,
                              text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f'not done after {timeout} s') from None
    except OSError as error:
        raise RuntimeError(str(error)) from None
    if 'cannot be preloaded' in done.stderr:
        raise RuntimeError(f'{environment.get("LD_PRELOAD")} cannot be preloaded')
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise RuntimeError(f'exit {done.returncode}: {last}')
    return done.stdout, done.stderr


# --- allocators -------------------------------------------------------------------------------


class Target:
    """One column: which build of a workload, what is preloaded, which options are added.

    `letter` is the one in the targets column of workloads.txt that must be there."""

    def __init__(self, name, letter, kind, preload='', options=()):
        self.name, self.letter, self.build = name, letter, kind
        self.preload, self.options = preload, list(options)

    def run(self, command):
        """What run returns, of a command with this preloaded."""
        environment = {k: v for k, v in os.environ.items() if k != 'LD_PRELOAD'}
        if self.preload:
            environment['LD_PRELOAD'] = str(self.preload)
        return run(command, environment)

    def missing(self):
        """Why it cannot be preloaded here; or None."""
        try:
            self.run(['true'])
        except RuntimeError as error:
            return str(error)
        return None


def read_peers(options):
    """{name: path}, of --peer."""
    peers = dict(peer.partition('=')[::2] for peer in options.peer)
    if not all(peers.values()):
        raise SystemExit('bench: --peer wants name=path')
    return peers


def is_there(target, programs):
    if target.preload is None:
        reason = 'libmolehill-malloc.so.0 is not built'
    elif not (programs / f'pair-{target.build}').exists():
        reason = f'pair-{target.build} is not built'
    else:
        reason = target.missing()
    if reason:
        say(f'skipping {target.name}: {reason}')
    return not reason


def find_targets(options, letters='mhnf'):
    """Those asked for, of these kinds, that this machine has; who lacks is named on stderr."""
    programs = ROOT / options.build / 'perf'
    malloc = sorted(programs.parent.rglob('libmolehill-malloc.so.0'))
    extra = read_peers(options)
    peers = {**PEERS, 'molehill': malloc[0] if malloc else None, **extra}
    targets = [Target(name, 'm', 'malloc', preload) for name, preload in peers.items()]
    targets += [Target('heap', 'h', 'heap'),
                Target('heap-nos', 'n', 'heap', options=['no_serialize=1']),
                Target('floor', 'f', 'floor')]
    if options.targets:
        wanted = {*options.targets.split(','), *extra}
        unknown = wanted - {target.name for target in targets}
        if unknown:
            raise SystemExit('bench: no such target: ' + ', '.join(sorted(unknown)))
        targets = [target for target in targets if target.name in wanted]
    found = [target for target in targets
             if target.letter in letters and is_there(target, programs)]
    if not found:
        raise SystemExit('bench: no target is left to run')
    return found


def prepare(options, letters='mhnf'):
    """The programs, built unless that is not wanted; the targets, as find_targets has them."""
    if not options.no_build:
        build(options.build)
    return find_targets(options, letters)


# --- what is left -----------------------------------------------------------------------------


def capture(*command):
    try:
        return run(['git', '-C', ROOT, *command])[0].strip()
    except RuntimeError:
        return ''


def describe_machine(options):
    cpu = re.search(r'model name\s*:\s*(.*)', pathlib.Path('/proc/cpuinfo').read_text())
    huge = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')
    dirty = capture('status', '--porcelain', '--untracked-files=no')
    return {
        'cpu': cpu.group(1) if cpu else platform.machine(), 'cores': os.cpu_count(),
        'kernel': platform.release(), 'libc': ' '.join(platform.libc_ver()),
        'huge_pages': huge.read_text().strip() if huge.exists() else '-',
        'load_before': os.getloadavg()[0],
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'commit': (capture('rev-parse', '--short', 'HEAD') or 'none')
                  + (' with changes' if dirty else ''),
        'runs': options.runs, 'quick': options.quick}


def heading(machine, rest):
    """A report's first line; `rest` says how it was measured."""
    return (f'{machine["cpu"]}, {machine["cores"]} cores, Linux {machine["kernel"]}; '
            f'{machine["date"]}; commit {machine["commit"]}; {rest}')


def failed(failures):
    return ''.join(f'FAILED {failure}\n' for failure in failures)


def write(out, files):
    """{name: text}, in a folder of the sources' that need not be there."""
    folder = ROOT / out
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding='utf-8')


def finish(options, failures, files):
    """Writes the files, prints the first; the exit status."""
    write(options.out, files)
    shown, *more = files
    print(files[shown], end='')
    names = ', '.join([shown, *more[:-1]]) + (f' and {more[-1]}' if more else '')
    say(f'wrote {names} to {options.out}')
    return 1 if failures else 0


def run_main(main, who='bench', left='; nothing was written'):
    """Ends the process as `main` says, or says that it was interrupted, and what is left."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say(f'interrupted{left}', who)
        sys.exit(130)


# --- a test of it -----------------------------------------------------------------------------


def stops(call, *arguments):
    """With which words the call ends the process, or fails."""
    try:
        call(*arguments)
    except (RuntimeError, SystemExit) as stop:
        return str(stop)
    raise AssertionError(f'{call.__name__} goes on')


def test_options():
    parser = make_parser('any', 'Measures any.\n\nMore.')
    parser.add_argument('--quick', action='store_true')
    add_runs(parser, 5, 2)
    share(parser, 'targets', 'peer', 'build')
    share(parser, 'out', default='build/any')
    for words, runs in (([], 5), (['--quick'], 2), (['--quick', '--runs', '3'], 3)):
        assert parse(parser, words).runs == runs, words
    assert stops(parse, parser, ['--runs', '0']) == '2'
    options = parse(parser, [])
    assert (options.build, options.out, options.peer) == ('build/gcc', 'build/any', [])
    return options


def test_targets(options, folder):
    (folder / 'perf').mkdir()
    for kind in ('malloc', 'heap', 'floor'):
        (folder / 'perf' / f'pair-{kind}').touch()
    options.build, options.targets = folder, 'glibc,heap,floor'
    assert [target.name for target in find_targets(options)] == ['glibc', 'heap', 'floor']
    options.peer = ['lost=/nowhere/lost.so']
    assert [target.name for target in find_targets(options, 'mn')] == ['glibc']
    options.targets = 'molehill'  # not built
    assert stops(find_targets, options) == 'bench: no target is left to run'
    options.targets = 'glibc,gone'
    assert stops(find_targets, options) == 'bench: no such target: gone'
    options.peer = ['name']
    assert stops(find_targets, options) == 'bench: --peer wants name=path'


def self_test():
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, 'w', encoding='utf-8') as none:
        folder = pathlib.Path(folder)
        with contextlib.redirect_stderr(none), contextlib.redirect_stdout(none):
            options = test_options()
            test_targets(options, folder)
            options.out = folder / 'new'
            assert finish(options, [], {'a': 'x\n', 'b': 'y'}) == 0
            assert finish(options, ['f'], {'a': 'z\n'}) == 1
        assert [(folder / 'new' / name).read_text() for name in 'ab'] == ['z\n', 'y']
    assert run(['echo', 1]) == ('1\n', '')
    assert stops(run, ['false']) == 'exit 1: no message'
    assert stops(run, ['sleep', 60], None, 0.01) == 'not done after 0.01 s'
    assert 'No such file' in stops(run, ['/nowhere/program'])
    lost = Target('lost', 'm', 'malloc', '/nowhere/lost.so')
    assert lost.missing() == '/nowhere/lost.so cannot be preloaded'
    print('bench_command: self-test passed')


if __name__ == '__main__':
    self_test()
