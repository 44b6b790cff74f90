import { hex } from '../../snapshots/address.js';
import type { Reads } from '../analysis.js';
import type { WaitsOn } from '../waits/model.js';
import { WaitsOnReader } from '../waits/waits-on.js';
import type { Wait } from './model.js';

/** The names of the types of channels; what goroutines wait in is copied in the stop (wait-records.ts). */
export const WAIT_READS: Reads = {
  goroutine: (program) => {
    const waits = new WaitsOnReader(program);
    return { read: (g) => waits.of(g) };
  },
  elemType: (program) => {
    const waits = new WaitsOnReader(program);
    return (type) => waits.typeName(type);
  },
};

/** What a goroutine waits on as plain data. */
export function describeWait({ kind, addr, ...rest }: WaitsOn): Wait {
  return { kind, addr: addr === null ? null : hex(addr), ...rest };
}
