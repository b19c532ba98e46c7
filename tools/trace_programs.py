# SPDX-License-Identifier: MIT
"""The programs that ./dev traces records, and what they are given to do."""
import http.client
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import time

import demo_load

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = 180

PYTHON = """
import json, re
rows = [{"id": n, "name": "name %d" % n, "tags": ["a%d" % (n % 7), "b"]} for n in range(COUNT)]
text = json.dumps(rows)
again = json.loads(text)
words = {}
for word in re.findall(r"[a-z]+[0-9]*", text):
    words[word] = words.get(word, 0) + 1
print(len(text), len(again), len(words), sorted(words.items())[:3])
"""
SQL = """
create table t (id integer primary key, name text, value integer);
with recursive n(i) as (select 1 union all select i + 1 from n where i < COUNT)
  insert into t select i, 'name ' || (i * 7919 % 10007), i % 1000 from n;
create index t_name on t (name);
select count(*), sum(value) from t where name like 'name 1%';
select name, count(*) from t group by name order by 2 desc, 1 limit 5;
update t set name = name || ' and more' where value < 300;
select a.name, b.id from t a join t b on a.value = b.id where a.id < 2000 order by 1 limit 3;
delete from t where id % 3 = 0;
"""
NGINX = """
error_log ERRORS; pid PID; events {}
http { access_log off; client_body_temp_path TEMP; proxy_temp_path TEMP; fastcgi_temp_path TEMP;
  uwsgi_temp_path TEMP; scgi_temp_path TEMP;
  server { listen 127.0.0.1:PORT; root FOLDER; gzip on; gzip_types *; } }
"""


class Place:
    """An empty directory, and how a program is run there and recorded."""

    def __init__(self, path, build, libraries, is_quick):
        self.path, self.build, self.is_quick = path, build, is_quick
        self.preload = ' '.join(map(str, libraries))
        self.words = f'file:{path}/%p.trace'

    def count(self, number):
        return number // 20 if self.is_quick else number

    def environment(self, is_recorded=True, **more):
        env = {key: value for key, value in os.environ.items()
               if key not in ('LD_PRELOAD', 'MOLEHILL_CONF', 'MOLEHILL_RECORD')}
        if is_recorded:
            env.update(LD_PRELOAD=self.preload, MOLEHILL_RECORD=self.words)
        return {**env, 'LC_ALL': 'C', **more}

    def run(self, *command, is_recorded=True, text=None, env=None, **more):
        """RuntimeError unless it ends well. It has no arguments longer than the output."""
        done = subprocess.run(
            list(map(str, command)), env=self.environment(is_recorded, **(env or {})),
            cwd=more.pop('cwd', self.path), capture_output=True, text=True, input=text,
            timeout=SECONDS, check=False, **more)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ['it said nothing'])[-1]
            raise RuntimeError(f'{command[0]} ends with {done.returncode}: {last}')
        return done.stdout


class Program:
    """What is recorded under a name; the programs of the system that it takes."""

    def __init__(self, name, needs, run):
        self.name, self.needs, self.run = name, needs, run

    def missing(self):
        names = [name for name in self.needs if not shutil.which(name)]
        return f'{", ".join(names)} not installed' if names else ''


def run_redis(place):
    machine = demo_load.Machine(
        build=place.build, directory=place.path, jemalloc='',
        server_cpus=frozenset(os.sched_getaffinity(0)),
        benchmark_cpus=frozenset(os.sched_getaffinity(0)))
    redis = demo_load.Redis(machine)
    redis.preloads['molehill'] = place.preload
    children = demo_load.Children()
    os.environ['MOLEHILL_RECORD'] = place.words
    try:
        server, port = redis.start(children, 'molehill')
        del os.environ['MOLEHILL_RECORD']
        for size, keys in ((16, 10000), (100, 5000), (1000, 5000), (8000, 1000)):
            demo_load.run_benchmark(children, machine, server, port, demo_load.Phase(
                'trace', size, keys, place.count(30000)))
        server.terminate()
        server.wait(30)
    except demo_load.DemoError as error:
        raise RuntimeError(str(error)) from None
    finally:
        os.environ.pop('MOLEHILL_RECORD', None)
        children.end_all()


def run_python(place):
    """Its own allocator is switched off, as debuggers of memory want it."""
    place.run(sys.executable, '-c', PYTHON.replace('COUNT', str(place.count(60000))),
              env={'PYTHONMALLOC': 'malloc'})


def run_gcc(place):
    """Of its processes the compiler proper allocates most."""
    source = 'src/api/last_error.c' if place.is_quick else 'src/tcache/slab.c'
    place.run('gcc', '-O2', '-g', '-c', '-D_GNU_SOURCE', f'-I{ROOT}/src',
              f'-I{ROOT}/include', '-o', place.path / 'out.o', ROOT / source)


def run_sqlite(place):
    place.run('sqlite3', ':memory:', text=SQL.replace('COUNT', str(place.count(60000))))


def run_git(place):
    """pack-objects, with two threads, of a repository where lines were changed again and again."""
    def git(*words, **more):
        return place.run('git', '-c', 'user.name=nobody', '-c', 'user.email=nobody',
                         '-c', 'gc.auto=0', '-C', place.path / 'tree', *words, **more)
    tree = place.path / 'tree'
    shutil.copytree(ROOT / 'src', tree)
    git('init', '-q', is_recorded=False)
    files = sorted(tree.glob('*/*.c'))
    for number in range(place.count(40)):
        for file in files[number % 2::2]:
            lines = file.read_text().splitlines(keepends=True)
            lines[number % len(lines)] = f'{number} {file.name}\n'
            file.write_text(''.join(lines))
        git('add', '.', is_recorded=False)
        git('commit', '-qm', f'{number}', is_recorded=False)
    git('-c', 'pack.threads=2', 'repack', '-adfq')


def run_nginx(place):
    """One process that answers requests for files, packed and not."""
    port = demo_load.free_port()
    text = NGINX
    for key, value in (('ERRORS', place.path / 'errors'), ('PID', place.path / 'pid'),
                       ('TEMP', place.path), ('PORT', port), ('FOLDER', ROOT / 'docs')):
        text = text.replace(key, str(value))
    (place.path / 'conf').write_text(text)
    server = subprocess.Popen(
        ['nginx', '-p', place.path, '-c', place.path / 'conf', '-g',
         'daemon off; master_process off;'], env=place.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        for number in range(place.count(20000)):
            peer = http.client.HTTPConnection('127.0.0.1', port, timeout=10)
            peer.request('GET', ('/control.md', '/porting.md', '/none')[number % 3],
                         headers={'Accept-Encoding': 'gzip'} if number % 2 else {})
            peer.getresponse().read()
            peer.close()
        server.terminate()
        server.wait(30)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


def run_postgres(place):
    """One backend by itself, which root must not start."""
    more = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam('nobody')
        os.chown(place.path, nobody.pw_uid, nobody.pw_gid)
        more = {'user': nobody.pw_uid, 'group': nobody.pw_gid, 'extra_groups': []}
    server = pathlib.Path(os.path.realpath(shutil.which('postgres')))
    place.run(server.with_name('initdb'), '-D', place.path / 'data', '-A', 'trust', '-N',
              '-U', 'nobody', is_recorded=False, **more)
    lines = [' '.join(line.split()) for line in SQL.replace('COUNT', str(
        place.count(20000))).strip().split(';')]
    place.run(server, '--single', '-j', '-D', place.path / 'data', 'postgres',
              text=''.join(f'{line};\n\n' for line in lines if line), **more)


PROGRAMS = (
    Program('redis', ('redis-server', 'redis-benchmark'), run_redis),
    Program('python3', (), run_python),
    Program('gcc', ('gcc',), run_gcc),
    Program('sqlite3', ('sqlite3',), run_sqlite),
    Program('git', ('git',), run_git),
    Program('nginx', ('nginx',), run_nginx),
    Program('postgres', ('postgres',), run_postgres),
)
