import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BytesError } from '../../../snapshots/bytes.js';
import { ElfFile } from '../../../snapshots/elf/elf-file.js';
import { ExitCode, GospyError } from '../../../snapshots/errors.js';
import { random, temporaryFolder, writeSmallSnapshot } from '../../support/gsp.js';

const env = readFileSync('/usr/bin/env');

function changed(changes: Record<number, number>): Buffer {
  const bytes = Buffer.from(env);
  for (const [at, value] of Object.entries(changes)) bytes[Number(at)] = value;
  return bytes;
}

t.test('elf: files that cannot be read are refused with the reason', async (t) => {
  const refusals: [Buffer, number, RegExp][] = [
    [changed({ 4: 1 }), ExitCode.unsupported, /32 bits/],
    [changed({ 5: 2 }), ExitCode.unsupported, /big-endian/],
    [changed({ 4: 9 }), ExitCode.badFile, /class 9/],
    [changed({ 18: 40, 19: 0 }), ExitCode.unsupported, /CPU arm;/],
    [changed({ 18: 0x34, 19: 0x12 }), ExitCode.unsupported, /CPU number 4660;/],
    [changed({ 56: 0xff, 57: 0x7f }), ExitCode.badFile, /32767 program headers/],
    [changed({ 54: 1 }), ExitCode.badFile, /program headers of 1 bytes/],
    [env.subarray(0, 63), ExitCode.badFile, /truncated/],
    [env.subarray(0, 100), ExitCode.badFile, /program headers/],
    [Buffer.alloc(0), ExitCode.badFile, /an empty file/],
    [Buffer.from('#!/bin/sh\n'), ExitCode.badFile, /a text file/],
    [Buffer.from('1f8b0800', 'hex'), ExitCode.badFile, /it is a gzip file/],
  ];
  const path = join(temporaryFolder(t), 'file');
  for (const [bytes, exitCode, message] of refusals) {
    t.throws(() => ElfFile.from('file', bytes), { name: 'GospyError', exitCode, message });
    writeFileSync(path, bytes);
    t.throws(() => ElfFile.open(path), { name: 'GospyError', exitCode, message });
  }
  await writeSmallSnapshot(path);
  t.throws(() => ElfFile.open(path), { exitCode: ExitCode.badFile, message: /a gospy snapshot/ });
  t.throws(() => ElfFile.open('/tmp'), { exitCode: ExitCode.badFile, message: /a folder/ });
});

t.test('elf: a file with broken section headers can still be read', (t) => {
  for (const changes of [{ 58: 1 }, { 40: 0xff, 46: 0xff }, { 60: 0xff, 61: 0xff }, { 62: 0x7f, 63: 0x7f }]) {
    const file = ElfFile.from('env', changed(changes));
    t.ok(file.loaded.length > 0);
    t.equal(file.bytesAt(file.loaded[0]?.lo ?? 0, 4)?.length, 4);
  }
  t.end();
});

t.test('elf: a segment above all addresses, such as vsyscall in a core, is left out', (t) => {
  const whole = ElfFile.from('env', env);
  const bytes = Buffer.from(env);
  const tableOffset = Number(env.readBigUInt64LE(32));
  bytes.writeBigUInt64LE(0xffffffffff600000n, tableOffset + 16);
  const file = ElfFile.from('env', bytes);
  t.strictSame(file.segments, whole.segments.slice(1));
  t.end();
});

t.test('elf: notes before a broken note are kept', (t) => {
  const whole = ElfFile.from('env', env);
  const place = whole.segments.find(({ type, align }) => type === 4 && align === 4);
  if (place === undefined) throw new Error('env has no notes');
  const notes = [...whole.notes()].map(({ owner, type }) => `${owner} ${type}`);
  t.ok(notes.includes('GNU 3'));
  for (const field of [0, 4]) {
    const bytes = Buffer.from(env);
    bytes.writeUInt32LE(0xffffffff, place.fileOffset + field);
    const left = [...ElfFile.from('env', bytes).notes()].map(({ owner, type }) => `${owner} ${type}`);
    t.ok(left.length < notes.length);
    t.ok(left.every((note) => notes.includes(note)));
  }
  t.end();
});

t.test('elf: a file with random headers is either refused or read', (t) => {
  const next = random(21);
  const sectionTable = Number(env.readBigUInt64LE(40));
  const wrong: string[] = [];
  let opened = 0;
  for (let round = 0; round < 1500; round++) {
    const bytes = Buffer.from(env);
    for (let i = next(6); i >= 0; i--) {
      const place = next(2) === 0 ? 16 + next(800) : sectionTable + next(bytes.length - sectionTable);
      bytes[place] = next(3) === 0 ? 0xff : next(256);
    }
    try {
      useAll(ElfFile.from('env', bytes));
      opened++;
    } catch (error) {
      if (!(error instanceof GospyError || error instanceof BytesError)) wrong.push(`${round}: ${String(error)}`);
    }
  }
  t.strictSame(wrong, []);
  t.ok(opened > 100, `${opened} were opened`);
  t.end();
});

function useAll(file: ElfFile): void {
  for (const { lo, hi } of file.loaded) file.bytesAt(lo, Math.min(hi - lo, 1000));
  [...file.notes()].forEach(({ content }) => content.length);
  JSON.stringify([file.buildId, file.goBuildId]);
  for (const section of file.sections) ignoring(() => file.contents(section));
  ignoring(() => [...file.symbols()].length);
}

function ignoring(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
  }
}
