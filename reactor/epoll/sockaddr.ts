/** `struct sockaddr` of Linux and back. */

import { networkInterfaces } from 'node:os';

import type { Address } from '../address.ts';

/** @returns the bytes that bind(2) and connect(2) take. The address's numbers must be valid. */
export function encodeAddress(address: Address): Uint8Array {
  if (address.family === 'unix') {
    const path = Buffer.from(address.path);
    const bytes = Buffer.alloc(2 + path.length + 1);
    bytes.writeUInt16LE(AF_UNIX, 0);
    path.copy(bytes, 2);
    return bytes;
  }
  if (address.family === 'IPv4') {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(address.port, 2);
    bytes.set(address.host.split('.').map(Number), 4);
    return bytes;
  }
  const [host = '', scope] = address.host.split('%');
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(address.port, 2);
  wordsOf(host).forEach((word, index) => bytes.writeUInt16BE(word, 8 + 2 * index));
  if (scope !== undefined) bytes.writeUInt32LE(scopeId(scope), 24);
  return bytes;
}

/** @param length how many of `bytes` the kernel filled. */
export function decodeAddress(bytes: Uint8Array, length: number): Address | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (length < 2) return undefined;
  switch (view.getUint16(0, true)) {
    case AF_UNIX: {
      const path = Buffer.from(bytes.subarray(2, length));
      const end = path.indexOf(0);
      return { family: 'unix', path: path.toString('utf8', 0, end < 0 ? path.length : end) };
    }
    case AF_INET:
      return { family: 'IPv4', host: bytes.subarray(4, 8).join('.'), port: view.getUint16(2) };
    case AF_INET6: {
      const words = Array.from({ length: 8 }, (_, index) => view.getUint16(8 + 2 * index));
      const scope = view.getUint32(24, true);
      return { family: 'IPv6', host: textOf(words) + (scope === 0 ? '' : `%${String(scope)}`), port: view.getUint16(2) };
    }
    default:
      return undefined;
  }
}

function wordsOf(host: string): number[] {
  // The last 32 bits may be written as an IPv4 address (RFC 4291, section 2.2).
  const plain = host.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a: string, b: string, c: string, d: string) =>
    `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`);
  const [head = '', tail] = plain.split('::');
  const before = head === '' ? [] : head.split(':');
  if (tail === undefined) return before.map(hexadecimal);
  const after = tail === '' ? [] : tail.split(':');
  const zeros = new Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].map(hexadecimal);
}

/** The canonical text of RFC 5952: the longest run of two or more zero words becomes `::`. */
function textOf(words: readonly number[]): string {
  let runStart = -1;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && words[end] === 0) end++;
    if (end - start > runLength) [runStart, runLength] = [start, end - start];
  }
  const hex = words.map((word) => word.toString(16));
  if (runStart < 0) return hex.join(':');
  return `${hex.slice(0, runStart).join(':')}::${hex.slice(runStart + runLength).join(':')}`;
}

function scopeId(scope: string): number {
  if (/^\d+$/.test(scope)) return Number(scope);
  return networkInterfaces()[scope]?.find((entry) => entry.family === 'IPv6')?.scopeid ?? 0;
}

const hexadecimal = (word: string): number => parseInt(word, 16);

// bits/socket.h
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
