import { readFileSync, readdirSync, readlinkSync, statSync, type Stats } from 'node:fs';
import { cpus, hostname, release } from 'node:os';
import { isAddr } from '../../snapshots/address.js';
import type { Arch } from '../../snapshots/arch.js';
import { noGoProcess, permissionError, unsupported, type GospyError } from '../../snapshots/errors.js';
import type { Executable, HostFacts, Mapping, Thread } from '../../snapshots/image.js';

/** PF_KTHREAD of the kernel's task flags. */
const PF_KTHREAD = 0x00200000;
/** PF_IO_WORKER of the flags since Linux 5.12, and how the names of such threads begin. Before, the bit meant something else. */
const PF_IO_WORKER = 0x00000010;
const IO_WORKER = 'iou-';
const DELETED = ' (deleted)';

/** The fields of /proc/PID/status that gospy uses. */
export interface ProcessStatus {
  readonly pid: number;
  /** Pid and Tgid as the file itself has them: they differ from `pid` for a thread that is not the first of its process. */
  readonly shownPid: number;
  readonly threadGroup: number;
  readonly name: string;
  /** The kernel's letter for the first thread. */
  readonly state: string;
  readonly threadCount: number;
  readonly parentPid: number;
  /** 0 if nobody traces it, or if the tracer is in a pid namespace that gospy cannot see. */
  readonly tracerPid: number;
  /** Real, effective, saved, file system. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** Its pid in each nested pid namespace, that of gospy's own namespace first. */
  readonly namespacePids: readonly number[];
  /** Bit masks of capabilities. */
  readonly permittedCaps: bigint;
  readonly effectiveCaps: bigint;
  /** What a program that it executes can have at most. */
  readonly boundingCaps: bigint;
  /** Whether programs such as sudo are kept from giving it more rights. */
  readonly noNewPrivileges: boolean;
  /** Whether it has crashed, and the kernel is writing its core; false before Linux 4.15. */
  readonly isDumpingCore: boolean;
  /** 0: none, 1: strict, 2: a filter. */
  readonly seccomp: number;
  /** VmData: what is mapped privately to write to. */
  readonly dataBytes: number;
  /** VmRSS: memory that is in RAM. */
  readonly residentBytes: number;
}

/** Of a process or, with `tid`, of one of its threads. Throws `noGoProcess` if there is no such process. */
export function readStatus(pid: number, tid?: number): ProcessStatus {
  const fields = new Map<string, string>();
  const file = tid === undefined ? 'status' : `task/${tid}/status`;
  for (const line of readText(pid, file).split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  const numbers = (name: string): number[] => (fields.get(name) ?? '').split(/\s+/).filter(Boolean).map(Number);
  const mask = (name: string): bigint => parseHex(fields.get(name) ?? '0');
  return {
    pid,
    shownPid: numbers('Pid')[0] ?? pid,
    threadGroup: numbers('Tgid')[0] ?? pid,
    name: fields.get('Name') ?? '',
    state: fields.get('State')?.charAt(0) ?? '?',
    threadCount: numbers('Threads')[0] ?? 1,
    parentPid: numbers('PPid')[0] ?? 0,
    tracerPid: numbers('TracerPid')[0] ?? 0,
    uids: numbers('Uid'),
    gids: numbers('Gid'),
    namespacePids: fields.has('NSpid') ? numbers('NSpid') : [pid],
    permittedCaps: mask('CapPrm'),
    effectiveCaps: mask('CapEff'),
    boundingCaps: mask('CapBnd'),
    noNewPrivileges: numbers('NoNewPrivs')[0] === 1,
    isDumpingCore: numbers('CoreDumping')[0] === 1,
    seccomp: numbers('Seccomp')[0] ?? 0,
    dataBytes: (numbers('VmData')[0] ?? 0) * 1024,
    residentBytes: (numbers('VmRSS')[0] ?? 0) * 1024,
  };
}

function parseHex(text: string): bigint {
  return /^[0-9a-f]+$/i.test(text) ? BigInt(`0x${text}`) : 0n;
}

/** The fields of /proc/PID/stat, or of a thread's, that gospy uses. */
export interface TaskStat {
  readonly name: string;
  readonly state: string;
  readonly kernelThread: boolean;
  /** Whether it is a thread that does I/O for a process in the kernel (io_uring). */
  readonly ioWorker: boolean;
}

/** Parses /proc/PID/stat. The name may contain spaces, brackets and line ends; the last bracket ends it. */
export function parseStat(text: string): TaskStat {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  const rest = text
    .slice(close + 1)
    .trim()
    .split(/\s+/);
  const flags = Number(rest[6] ?? 0);
  const name = open >= 0 && close > open ? text.slice(open + 1, close) : '';
  return {
    name,
    state: /^[A-Za-z]/.exec(rest[0] ?? '')?.[0] ?? '?',
    kernelThread: Math.floor(flags / PF_KTHREAD) % 2 === 1,
    ioWorker: Math.floor(flags / PF_IO_WORKER) % 2 === 1 && name.startsWith(IO_WORKER),
  };
}

/** Throws `noGoProcess` if there is no such process. */
export function readStat(pid: number): TaskStat {
  return parseStat(readText(pid, 'stat'));
}

/** The kernel's letter for the state of a thread; null if there is no such thread. */
export function threadState(pid: number, tid: number): string | null {
  const text = tryText(`/proc/${pid}/task/${tid}/stat`);
  return text === null ? null : parseStat(text).state;
}

/** For how many nanoseconds a thread had a CPU, and waited for one (/proc/PID/schedstat); 0 where the kernel does not say. */
export function threadTurns(pid: number, tid: number): readonly [number, number] {
  const [ran, waited] = tryText(`/proc/${pid}/task/${tid}/schedstat`)?.split(' ') ?? [];
  return [Number(ran ?? 0), Number(waited ?? 0)];
}

/** True of a thread in which the kernel does I/O for the process (io_uring). It never executes the program. */
export function isIoWorker(pid: number, tid: number): boolean {
  const task = `/proc/${pid}/task/${tid}`;
  // The name is quicker to read than all of the state.
  return tryText(`${task}/comm`)?.startsWith(IO_WORKER) === true && parseStat(tryText(`${task}/stat`) ?? '').ioWorker;
}

/** False once the thread is a zombie or gone. */
export function isAlive(pid: number, tid: number): boolean {
  return !'ZX'.includes(threadState(pid, tid) ?? 'X');
}

/**
 * A thread of the process that is alive: the first one or, if that has ended before the others, another. Throws `noGoProcess`
 * if there is no such process, or no thread of it is alive (a zombie).
 */
export function liveThread(pid: number): number {
  if (isAlive(pid, pid)) return pid;
  for (const tid of listThreads(pid)) {
    if (isAlive(pid, tid)) return tid;
  }
  throw noGoProcess(`Process ${pid} has ended: it is a zombie that its parent has not collected.`);
}

/** Thread ids, ascending. Throws `noGoProcess` if there is no such process. */
export function listThreads(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch (cause) {
    throw missing(pid, cause);
  }
}

/** All threads as they are now, without registers. Threads that end meanwhile are left out. */
export function readThreads(pid: number): Thread[] {
  const nested = readStatus(pid).namespacePids.length > 1;
  const threads: Thread[] = [];
  for (const tid of listThreads(pid)) {
    const text = tryText(`/proc/${pid}/task/${tid}/stat`);
    if (text === null) continue;
    const { name, state } = parseStat(text);
    threads.push({ tid, namespaceTid: nested ? namespaceTid(pid, tid) : tid, name, state, registers: null });
  }
  return threads;
}

/** The id of a thread in the process's own pid namespace; `tid` itself if it has ended. */
export function namespaceTid(pid: number, tid: number): number {
  const status = tryText(`/proc/${pid}/task/${tid}/status`) ?? '';
  const last = /^NSpid:.*\s(\d+)$/m.exec(status)?.[1];
  return last === undefined ? tid : Number(last);
}

/** Ascending. `tid` is a thread that is alive: the kernel shows no mappings for a first thread that has ended. */
export function readMappings(pid: number, tid: number): Mapping[] {
  return parseMaps(readText(pid, `task/${tid}/maps`));
}

/**
 * Parses /proc/PID/maps. Skips malformed lines, and mappings outside user space (vsyscall). Removes the kernel's " (deleted)"
 * from paths, though a file's name may really end so.
 */
export function parseMaps(text: string): Mapping[] {
  const mappings: Mapping[] = [];
  const line = /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (.)(.)(.). ([0-9a-f]{1,16}) \S+ \d+(?: +(.*))?$/gm;
  for (const [, lo = '', hi = '', r, w, x, offset = '', path = ''] of text.matchAll(line)) {
    const [start, end] = [parseInt(lo, 16), parseInt(hi, 16)];
    if (!isAddr(start) || !isAddr(end) || end <= start) continue;
    mappings.push({
      start,
      end,
      readable: r === 'r',
      writable: w === 'w',
      executable: x === 'x',
      fileOffset: parseInt(offset, 16),
      path: withoutDeleted(path.replaceAll('\\012', '\n')),
    });
  }
  return mappings;
}

function withoutDeleted(path: string): string {
  return path.startsWith('/') && path.endsWith(DELETED) ? path.slice(0, -DELETED.length) : path;
}

/** A link that the kernel resolves to the program of a process, even if that was renamed or deleted. */
export function executableLink(pid: number, tid: number): string {
  return `/proc/${pid}/task/${tid}/exe`;
}

/** The program of a process, without the build ids, which are in the file. */
export function readExecutable(pid: number, tid: number): Pick<Executable, 'path' | 'deleted' | 'sizeBytes'> {
  const link = executableLink(pid, tid);
  const target = readLink(pid, link);
  const file = statSync(link, { throwIfNoEntry: false });
  const deleted = target.endsWith(DELETED) && !isSameFile(`/proc/${pid}/root${target}`, file);
  return {
    path: deleted ? target.slice(0, -DELETED.length) : target,
    deleted,
    sizeBytes: file?.size ?? null,
  };
}

function readLink(pid: number, link: string): string {
  try {
    return readlinkSync(link);
  } catch (cause) {
    throw unreadable(pid, link, cause);
  }
}

/** True if `path` names the file that `file` describes. */
function isSameFile(path: string, file: Stats | undefined): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && file !== undefined && found.ino === file.ino && found.dev === file.dev;
}

/** Facts about this machine, and the process's pids on it. */
export function readHostFacts(pid: number): HostFacts {
  return {
    hostname: hostname(),
    kernel: release(),
    bootId: tryText('/proc/sys/kernel/random/boot_id')?.trim() ?? null,
    cpus: cpus().length,
    namespacePids: readStatus(pid).namespacePids,
  };
}

/** The CPU of this machine, as Go names it. Throws `unsupported` if Go programs on it cannot be read. */
export function hostArch(): Arch {
  if (process.arch === 'x64') return 'amd64';
  if (process.arch === 'arm64') return 'arm64';
  throw unsupported(`Go programs can be read on amd64 and arm64; this machine is ${process.arch}.`);
}

/** The number for whose digits a pattern has a group, in the text of a file; null if they are not there. */
export function numberAt(path: string, pattern: RegExp): number | null {
  const digits = pattern.exec(tryText(path) ?? '')?.[1];
  return digits === undefined ? null : Number(digits);
}

/** The text of a file; null if it cannot be read. */
export function tryText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function readText(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch (cause) {
    throw unreadable(pid, `/proc/${pid}/${name}`, cause);
  }
}

function unreadable(pid: number, path: string, cause: unknown): GospyError {
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  if (code !== 'EACCES' && code !== 'EPERM') return missing(pid, cause);
  return permissionError(`Reading ${path} was refused (${code}).`, { cause });
}

function missing(pid: number, cause: unknown): GospyError {
  return noGoProcess(`There is no process ${pid}.`, { hint: '`pgrep -a NAME` finds process ids by name.', cause });
}
