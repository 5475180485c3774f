// Law: each class of error that is exported says its own name, in a stack trace and in a log, and has a stable code.

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

describe('an error', () => {
  it('is exported at all', () => {
    expect(exported.length).toBeGreaterThan(20);
  });

  it.each(exported)('%s says its name', (name, { prototype }) => {
    expect(prototype.name).toBe(name);
    expect(Object.hasOwn(prototype, 'name')).toBe(true);
  });
});
