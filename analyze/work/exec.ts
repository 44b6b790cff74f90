import type { Value, Values } from '../types/values.js';
import { shown, textOf, type Decoder, type Found } from './decoder.js';

/** Larger ones are damage (PID_MAX_LIMIT of the kernel). */
const MAX_PID = 2 ** 22;
/** What waits for a process, inlined or not: os/exec/exec.go, and os/exec.go, exec_unix.go and pidfd_linux.go. */
const COMMAND = 'os/exec.(*Cmd).Wait';
const OF_PROCESS = new Set(['Wait', 'wait', 'pidWait', 'pidfdWait'].map((name) => `os.(*Process).${name}`));

/** The process that a goroutine waits for: its pid, and its path if os/exec started it. Arguments are not told. */
export const exec: Decoder = {
  kind: 'exec',
  handles: (func) => func === COMMAND || OF_PROCESS.has(func),
  decode: (call, values) => {
    // A command tells more.
    if (call.func !== COMMAND && (call.caller === COMMAND || OF_PROCESS.has(call.caller))) return null;
    const receiver = call.word(0);
    if (receiver === null) return null;
    const found =
      call.func === COMMAND
        ? command(values, values.at('os/exec.Cmd', receiver.value))
        : describe(values, values.at('os.Process', receiver.value), '');
    return found === null ? null : { found, sure: receiver.mapped };
  },
};

function command(values: Values, cmd: Value): Found | null {
  const process = values.get(cmd, 'Process');
  const target = process === null ? null : values.target(process);
  return target === null ? null : describe(values, target, textOf(values, cmd, 'Path'));
}

function describe(values: Values, process: Value, path: string): Found | null {
  const pid = values.get(process, 'Pid');
  const number = pid === null ? 0 : values.number(pid);
  if (number < 1 || number > MAX_PID) return null;
  const shape = `pid ${number}`;
  return { text: path === '' ? shape : `${shape} ${shown(path)}`, shape, group: 'a process', since: null };
}
