#!/usr/bin/env node
import './engine.js';
import { endFirst } from '../capture/process/out-of-memory.js';
import { exitOnSignals } from './interrupt.js';
import { Io } from './io.js';
import { run } from './run.js';

endFirst('self');
exitOnSignals();
process.exitCode = await run(process.argv.slice(2), new Io());
