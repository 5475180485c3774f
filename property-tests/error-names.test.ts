// Law: the `name` of each exported error class is the name under which it is exported, so that stack traces and logs
// show it.

import { describe, expect, it } from 'vitest';

import * as protocols from '../protocols/index.ts';
import * as tls from '../protocols/tls/index.ts';
import * as reactor from '../reactor/index.ts';
import * as testing from './index.ts';

const exported = Object.entries({ ...protocols, ...protocols.https, ...tls, ...reactor, ...testing } as Record<
  string,
  unknown
>).filter(
  (entry): entry is [string, { readonly prototype: Error }] =>
    typeof entry[1] === 'function' && entry[1].prototype instanceof Error,
);

describe('the exports', () => {
  it('contain more than 20 error classes', () => {
    expect(exported.length).toBeGreaterThan(20);
  });

  it.each(exported)('contain %s under its own name', (name, { prototype }) => {
    expect(prototype.name).toBe(name);
    expect(Object.hasOwn(prototype, 'name')).toBe(true);
  });
});
