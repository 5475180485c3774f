import { beforeEach, describe, expect, it } from 'vitest';

import { Sealer } from './sealer.ts';
import { VALUE_AT_MOST } from '../../stores/store.ts';
import { bytes } from '../../testing/stores/check-store.ts';

const secret = bytes(32, 1);
const text = Buffer.from('a secret');

// A version, a nonce and a tag.
const ADDED = 1 + 12 + 16;

let sealer: Sealer;
beforeEach(() => {
  sealer = new Sealer(secret, 'tests');
});

describe('a sealed value', () => {
  it('opens to all of its parts, also in another Sealer with the same secret and purpose', () => {
    const sealed = sealer.seal('place', text, new Uint8Array(0), Buffer.from('!'));
    expect(sealer.open('place', sealed)?.toString()).toBe('a secret!');
    expect(new Sealer(Uint8Array.from(secret), 'tests').open(Buffer.from('place'), sealed)?.toString()).toBe(
      'a secret!',
    );
    expect(sealer.open('place', sealer.seal('place'))?.length).toBe(0);
  });

  it('reveals nothing, has no extra length, and is never the same twice', () => {
    const all = Array.from({ length: 20 }, () => sealer.seal('place', text));
    expect(all.every((each) => each.length === text.length + ADDED && each[0] === 1 && !each.includes(text))).toBe(
      true,
    );
    expect(new Set(all.map((each) => each.subarray(1, 13).toString('hex'))).size).toBe(20);
  });

  it('does not open for another place, purpose or secret', () => {
    const sealed = sealer.seal('place', text);
    for (const place of ['', 'plac', 'place2', 'Place', Buffer.from([0])])
      expect(sealer.open(place, sealed)).toBeUndefined();
    expect(new Sealer(secret, 'test').open('place', sealed)).toBeUndefined();
    expect(new Sealer(bytes(32, 2), 'tests').open('place', sealed)).toBeUndefined();
  });

  it('does not open when a bit is changed, or when it is truncated or extended', () => {
    const sealed = sealer.seal('place', text);
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed);
      changed[bit >> 3] ^= 1 << (bit & 7);
      expect(sealer.open('place', changed), `bit ${String(bit)}`).toBeUndefined();
    }
    for (let length = 0; length < sealed.length; length++)
      expect(sealer.open('place', sealed.subarray(0, length))).toBeUndefined();
    expect(sealer.open('place', Buffer.concat([sealed, Buffer.alloc(1)]))).toBeUndefined();
  });

  it('opens only up to the size that a store can keep', () => {
    const most = sealer.seal('place', new Uint8Array(VALUE_AT_MOST - ADDED));
    expect(most.length).toBe(VALUE_AT_MOST);
    expect(sealer.open('place', most)?.length).toBe(VALUE_AT_MOST - ADDED);
    expect(sealer.open('place', sealer.seal('place', new Uint8Array(VALUE_AT_MOST - ADDED + 1)))).toBeUndefined();
  });

  it('opens from any view of bytes, and from nothing else', () => {
    const sealed = sealer.seal('place', text);
    const room = new Uint8Array(sealed.length + 20);
    room.set(sealed, 7);
    expect(sealer.open('place', room.subarray(7, 7 + sealed.length))?.toString()).toBe('a secret');
    for (const lie of [undefined, null, 7, 'text', Array.from(sealed), { length: sealed.length }, sealed.buffer])
      expect(sealer.open('place', lie)).toBeUndefined();
  });

  it('does not open after its sealer is closed', () => {
    const own = new Sealer(secret, 'tests');
    const sealed = own.seal('place', text);
    own.close();
    own.close();
    expect(own.open('place', sealed)).toBeUndefined();
    expect(own.open('place', own.seal('place', text))).toBeUndefined();
    // The secret is wiped: the earlier names cannot be computed without it, and the later names match nothing.
    expect(own.name('name').equals(sealer.name('name'))).toBe(false);
  });
});

describe('a name', () => {
  it('has 32 bytes, and depends on exactly the text, the purpose and the secret', () => {
    expect(sealer.name('name').length).toBe(32);
    expect(sealer.name(Buffer.from('name')).equals(sealer.name('name'))).toBe(true);
    const names = [
      sealer.name('name'),
      sealer.name('nam'),
      new Sealer(secret, 'other').name('name'),
      new Sealer(bytes(32, 2), 'tests').name('name'),
    ];
    expect(new Set(names.map((each) => each.toString('hex'))).size).toBe(4);
  });
});

it('a secret must have 32 bytes, and the error names the option', () => {
  for (const length of [0, 16, 31, 33, 64]) {
    expect(() => new Sealer(bytes(length, 1), 'tests')).toThrow(
      new RangeError(`the key must have 32 bytes, not ${String(length)}`),
    );
    expect(() => new Sealer(bytes(length, 1), 'tests', 'storeKey')).toThrow(
      new RangeError(`storeKey must have 32 bytes, not ${String(length)}`),
    );
  }
});
