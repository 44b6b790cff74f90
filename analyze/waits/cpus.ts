import type { Arch } from '../../snapshots/arch.js';
import { AMD64 } from './amd64-steps.js';
import { ARM64 } from './arm64-steps.js';
import type { Cpu } from './instruction.js';

/** The CPUs whose code is understood. */
export const CPUS: Readonly<Record<Arch, Cpu>> = { amd64: AMD64, arm64: ARM64 };
