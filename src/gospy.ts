#!/usr/bin/env node
import './engine.js';
import { run } from './run.js';

process.exitCode = await run(process.argv.slice(2));
