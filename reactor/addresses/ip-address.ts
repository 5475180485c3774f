/** Parses IP addresses, and formats them in the same way as the system's own functions. */

import { isIP } from 'node:net';

/** @returns the eight 16-bit words of an IPv6 address, which must be valid and without a zone. */
export function wordsOf(host: string): number[] {
  // The last 32 bits may be written as an IPv4 address (RFC 4291, section 2.2).
  const plain = host.replace(
    /(\d+)\.(\d+)\.(\d+)\.(\d+)$/,
    (_, a: string, b: string, c: string, d: string) =>
      `${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`,
  );
  const [head = '', tail] = plain.split('::');
  const before = head === '' ? [] : head.split(':');
  if (tail === undefined) return before.map(hexadecimal);
  const after = tail === '' ? [] : tail.split(':');
  const zeros = new Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].map(hexadecimal);
}

/**
 * Formats an address in the canonical text of RFC 5952: the longest run of two or more zero words becomes `::`. A
 * mapped or embedded IPv4 address keeps its dots (section 5), as in inet_ntop(3).
 */
export function textOf(words: readonly number[]): string {
  let runStart = -1;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && words[end] === 0) end++;
    if (end - start > runLength) [runStart, runLength] = [start, end - start];
  }
  if (runStart === 0 && runLength === 6) return `::${dotted(words)}`;
  if (runStart === 0 && runLength === 5 && words[5] === 0xffff) return `::ffff:${dotted(words)}`;
  const hex = words.map((word) => word.toString(16));
  if (runStart < 0) return hex.join(':');
  return `${hex.slice(0, runStart).join(':')}::${hex.slice(runStart + runLength).join(':')}`;
}

/** @returns the canonical text of an address, with its zone; `undefined` when `host` is not an address. */
export function canonicalAddress(host: string): string | undefined {
  const version = isIP(host);
  if (version !== 6) return version === 0 ? undefined : host;
  const [address = '', zone] = host.split('%');
  return textOf(wordsOf(address)) + (zone === undefined ? '' : `%${zone}`);
}

function dotted(words: readonly number[]): string {
  return words
    .slice(6)
    .flatMap((word) => [word >> 8, word & 0xff])
    .join('.');
}

const hexadecimal = (word: string): number => parseInt(word, 16);
