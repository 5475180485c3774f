// Law: in every spelling, an address has the same text: the text that Node's own sockets use. Encoding and decoding an
// address returns an equal address.

import { SocketAddress } from 'node:net';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { formatAddress, numericAddress, parseTarget } from '../../reactor/addresses/address.ts';
import type { Address } from '../../reactor/addresses/address.ts';
import { decodeAddress, encodeAddress } from '../../reactor/epoll/sockaddr.ts';
import { textOf } from '../../reactor/addresses/ip-address.ts';
import { checkLaw } from '../kit/law.ts';

// Zeros and the prefixes of embedded IPv4 addresses are drawn often, because the rules of the text depend on them.
const word = fc.oneof(fc.constant(0), fc.constant(0xffff), fc.integer({ min: 0, max: 0xffff }));
const words = fc.oneof(
  fc.array(word, { minLength: 8, maxLength: 8 }),
  fc.tuple(word, word).map((last) => [0, 0, 0, 0, 0, 0xffff, ...last]),
  fc.tuple(word, word).map((last) => [0, 0, 0, 0, 0, 0, ...last]),
);

const plan = fc.record({
  words,
  port: fc.integer({ min: 0, max: 65_535 }),
  isUpper: fc.boolean(),
  isPadded: fc.boolean(),
  isDotted: fc.boolean(),
  zone: fc.option(fc.integer({ min: 1, max: 0xffffffff }), { nil: undefined }),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

function spelt({ words: all, isUpper, isPadded, isDotted }: Plan): string {
  const hex = all.map((each) => each.toString(16).padStart(isPadded ? 4 : 1, '0'));
  const [high, low] = all.slice(6);
  const text = [
    ...hex.slice(0, 6),
    ...(isDotted ? [[high >> 8, high & 255, low >> 8, low & 255].join('.')] : hex.slice(6)),
  ].join(':');
  return isUpper ? text.toUpperCase() : text;
}

describe('an IPv6 address', () => {
  it('has the text that Node gives it', () =>
    checkLaw(
      fc.property(plan, (each) => {
        const text = textOf(each.words);
        expect(text).toBe(new SocketAddress({ address: spelt(each), family: 'ipv6' }).address);
        // URLs write an embedded IPv4 address in hexadecimal.
        if (!text.includes('.')) expect(`[${text}]`).toBe(new URL(`http://[${spelt(each)}]/`).hostname);
      }),
      2_000,
    ));

  it('is equal after encoding and decoding, in every spelling', () =>
    checkLaw(
      fc.property(plan, (each) => {
        const zone = each.zone === undefined ? '' : `%${String(each.zone)}`;
        const address = numericAddress(spelt(each) + zone, each.port) as Address;
        expect(address).toEqual({ family: 'IPv6', host: textOf(each.words) + zone, port: each.port });
        const encoded = encodeAddress(address) as Uint8Array;
        expect(decodeAddress(encoded, encoded.length)).toEqual(address);
        expect(parseTarget(formatAddress(address))).toEqual({ host: textOf(each.words) + zone, port: each.port });
      }),
      2_000,
    ));
});

describe('other addresses', () => {
  it('are equal after encoding and decoding', () =>
    checkLaw(
      fc.property(
        fc.ipV4(),
        fc.integer({ min: 0, max: 65_535 }),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
        fc.boolean(),
        (host, port, name, isAbstract) => {
          const path = isAbstract ? `\0${name}` : `/${name.replaceAll('\0', '')}`;
          for (const address of [
            numericAddress(host, port) as Address,
            { family: 'unix', path: Buffer.from(path).toString() } as const,
          ]) {
            const encoded = encodeAddress(address) as Uint8Array;
            expect(decodeAddress(encoded, encoded.length)).toEqual(address);
          }
        },
      ),
      1_000,
    ));

  it('are not encoded when this machine has no such zone', () => {
    for (const zone of ['no-such-interface', '4294967296'])
      expect(encodeAddress({ family: 'IPv6', host: `fe80::1%${zone}`, port: 1 })).toBeUndefined();
    expect(encodeAddress({ family: 'IPv6', host: '::1%lo', port: 1 })).toBeDefined();
  });
});
