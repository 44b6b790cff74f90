import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { unsupported } from '../snapshots/errors.js';

type Ffi = typeof import('ffi-rs');
type Argument = 'int' | 'long';
type NativeCall = (...values: number[]) => number;

/** Key under which ffi-rs keeps the handle of gospy's own process, where libc is found whatever its file is called. */
const SELF = 'self';

/** errno values that callers distinguish. The numbers are the same on amd64 and arm64. */
export const Errno = { EPERM: 1, ESRCH: 3, EIO: 5, ECHILD: 10, EFAULT: 14, EINVAL: 22, ENOSYS: 38 } as const;

interface Libc {
  readonly ptrace: NativeCall;
  readonly waitid: NativeCall;
  readonly processVmReadv: NativeCall;
  readonly alarm: NativeCall;
  readonly sigaction: NativeCall;
  readonly prctl: NativeCall;
  readonly syscall: NativeCall;
  readonly addressOf: (bytes: Uint8Array) => number;
  /** libc's errno of the calling thread: its four bytes themselves, not a copy. */
  readonly errno: DataView;
}

let loaded: Libc | null = null;

function libc(): Libc {
  return (loaded ??= load());
}

function load(): Libc {
  if (process.platform !== 'linux') {
    throw unsupported(`Reaching into a running process works on Linux; this is ${process.platform}.`, {
      hint: 'Capture on the Linux machine with `gospy capture`, then read the .gsp file here.',
    });
  }
  let ffi: Ffi;
  try {
    ffi = createRequire(import.meta.url)('ffi-rs') as Ffi;
  } catch (cause) {
    throw unsupported(
      `Reaching into a running process needs the native part of ffi-rs, which has no build for ${process.arch} here.`,
      { hint: 'Run `npm ci` with optional packages on this machine; .gsp files and cores are read without it.', cause },
    );
  }
  ffi.open({ library: SELF, path: '' });
  return {
    ptrace: prepare(ffi, 'ptrace', 'long', ['int', 'int', 'long', 'long']),
    waitid: prepare(ffi, 'waitid', 'int', ['int', 'int', 'long', 'int']),
    processVmReadv: prepare(ffi, 'process_vm_readv', 'long', ['int', 'long', 'long', 'long', 'long', 'long']),
    alarm: prepare(ffi, 'alarm', 'int', ['int']),
    sigaction: prepare(ffi, 'sigaction', 'int', ['int', 'long', 'long']),
    prctl: prepare(ffi, 'prctl', 'int', ['int', 'long']),
    syscall: prepare(ffi, 'syscall', 'long', ['long', 'long', 'long', 'long']),
    addressOf: (bytes) => addressOf(ffi, bytes),
    errno: errnoOf(ffi),
  };
}

/** A function of libc. ffi-rs's description of the call is made once: only the values change from call to call. */
function prepare(ffi: Ffi, funcName: string, returns: Argument, takes: readonly Argument[]): NativeCall {
  const { I32, I64 } = ffi.DataType;
  const type = (argument: Argument): typeof I32 | typeof I64 => (argument === 'int' ? I32 : I64);
  const count = takes.length;
  const values: number[] = takes.map(() => 0);
  const call = {
    library: SELF,
    funcName,
    retType: type(returns),
    paramsType: takes.map(type),
    paramsValue: values,
    freeResultMemory: false,
  };
  return (...given) => {
    for (let i = 0; i < count; i++) values[i] = given[i] ?? 0;
    return ffi.load(call);
  };
}

/** The address of a buffer: memmove returns its first argument. */
function addressOf(ffi: Ffi, bytes: Uint8Array): number {
  const { U8Array, I64 } = ffi.DataType;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return ffi.load({
    library: SELF,
    funcName: 'memmove',
    retType: I64,
    paramsType: [U8Array, U8Array, I64],
    paramsValue: [buffer, buffer, 0],
  });
}

function errnoOf(ffi: Ffi): DataView {
  const pointer = ffi.load({
    library: SELF,
    funcName: '__errno_location',
    retType: ffi.DataType.External,
    paramsType: [],
    paramsValue: [],
  });
  const bytes = ffi.createExternalBuffer(pointer, 4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4);
}

/**
 * Memory of gospy's own whose address can be given to the kernel: it is outside the JavaScript heap and never moves. The
 * address alone does not keep the memory alive: hold this object for as long as a call may write to it.
 */
export class Pinned {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Address of `bytes` in gospy's own address space. */
  readonly address: number;

  /**
   * `sizeBytes` zeroed bytes, 8 at least; or that part of another one from an offset on, as it is. Throws `unsupported` if
   * there is no native code to call.
   */
  constructor(sizeBytes: number, of?: Pinned, offset = 0) {
    // An explicit ArrayBuffer: typed arrays of up to 64 bytes would otherwise be in the heap, where the collector moves them.
    const memory = of?.bytes.buffer ?? new ArrayBuffer(Math.max(sizeBytes, 8));
    const length = of === undefined ? memory.byteLength : sizeBytes;
    this.bytes = new Uint8Array(memory, offset, length);
    this.view = new DataView(memory, offset, length);
    this.address = of === undefined ? libc().addressOf(this.bytes) : of.address + offset;
  }

  /** Writes an address or a length as a 64-bit word. */
  setWord(offset: number, value: number): void {
    this.view.setUint32(offset, value % 2 ** 32, true);
    this.view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
  }
}

/** ptrace(2). `address` and `data` are plain words. Returns -1 on failure: see {@link errno}. */
export function ptrace(request: number, tid: number, address: number, data: number): number {
  return libc().ptrace(request, tid, address, data);
}

/** waitid(2). `info` is the address of 128 bytes. Returns 0, or -1 on failure: see {@link errno}. */
export function waitid(idType: number, id: number, info: number, options: number): number {
  return libc().waitid(idType, id, info, options);
}

/** process_vm_readv(2) with the addresses of two iovec arrays. Returns the bytes read, or -1: see {@link errno}. */
export function processVmReadv(
  tid: number,
  localIov: number,
  localCount: number,
  remoteIov: number,
  remoteCount: number,
): number {
  return libc().processVmReadv(tid, localIov, localCount, remoteIov, remoteCount, 0);
}

/** alarm(2): SIGALRM after so many seconds; 0 cancels it. */
export function alarm(seconds: number): void {
  libc().alarm(seconds);
}

/** What a signal does without a handler: what is usual for it, or nothing (SIG_DFL and SIG_IGN). */
export const Action = { byDefault: 0, ignore: 1 } as const;
export type Action = (typeof Action)[keyof typeof Action];

/** More than any libc's struct sigaction takes. It begins with the handler or action. */
const SIGACTION_SIZE = 256;
const actions = new Map<number, { readonly next: Pinned; readonly before: Pinned }>();

/** sigaction(2): gives a signal an action in place of the one that it has. Returns an undo, which is to be called before the next. */
export function setAction(signal: number, action: Action): () => void {
  const known = actions.get(signal);
  const { next, before } = known ?? { next: new Pinned(SIGACTION_SIZE), before: new Pinned(SIGACTION_SIZE) };
  if (known === undefined) actions.set(signal, { next, before });
  next.setWord(0, action);
  libc().sigaction(signal, next.address, before.address);
  return () => {
    libc().sigaction(signal, before.address, 0);
  };
}

const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;

/** prctl(2): keeps gospy from writing a core file if a signal ends it. Returns an undo. */
export function forbidCoreFile(): () => void {
  if (libc().prctl(PR_GET_DUMPABLE, 0) !== 1) return () => undefined;
  libc().prctl(PR_SET_DUMPABLE, 0);
  return () => {
    libc().prctl(PR_SET_DUMPABLE, 1);
  };
}

/** Scheduling policies of the kernel that gospy uses. */
export const Policy = { other: 0, fifo: 1, idle: 5 } as const;
export type Policy = (typeof Policy)[keyof typeof Policy];

/** Numbers of sched_setscheduler(2) and sched_getscheduler(2), for which musl has functions that do nothing. */
const SCHEDULER_CALLS: Partial<Record<string, { readonly set: number; readonly get: number }>> = {
  x64: { set: 144, get: 145 },
  arm64: { set: 119, get: 120 },
};
/** The priorities that policies are given, each in a struct sched_param: 0 is the only one of policies that are not real-time. */
const PRIORITIES = { [Policy.other]: 0, [Policy.fifo]: 1, [Policy.idle]: 0 } as const;
let schedulingParameters: Pinned | null = null;

/** The policy of a thread, 0 for the calling one; null if it cannot be told, or if gospy does not use it. */
export function schedulingPolicy(tid: number): Policy | null {
  const calls = SCHEDULER_CALLS[process.arch];
  const policy = calls === undefined ? -1 : libc().syscall(calls.get, tid);
  return policy === Policy.other || policy === Policy.fifo || policy === Policy.idle ? policy : null;
}

/** Gives a thread, 0 for the calling one, another policy, at its lowest priority. Returns whether that was possible. */
export function setSchedulingPolicy(tid: number, policy: Policy): boolean {
  const calls = SCHEDULER_CALLS[process.arch];
  if (calls === undefined) return false;
  schedulingParameters ??= new Pinned(8);
  schedulingParameters.view.setInt32(0, PRIORITIES[policy], true);
  return libc().syscall(calls.set, tid, policy, schedulingParameters.address) === 0;
}

/**
 * Why the last call failed. Valid only right after a function of this file returned -1: between libc's return and this read,
 * ffi-rs only returns a small integer, which makes no system call that could fail.
 */
export function errno(): number {
  return libc().errno.getInt32(0, true);
}

/** `EPERM` for 1. */
export function errnoName(code: number): string {
  return getSystemErrorName(-code);
}
