import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { isInstalled } from '../protocols/testing/tls/program.ts';
import { compiledOf } from '../reactor/testing/compiled.ts';
import { makeCertificate } from './certificate.ts';
import { Child } from './child.ts';

const folder = join(import.meta.dirname, 'servers');
// The names of the measured servers are PEER-PROGRAM.
const programs = readdirSync(folder)
  .map((file) => file.replace(/\.ts$/, ''))
  .filter((name) => /^(?:node|wantio-[a-z]+)-(?:echo|bulk|proxy|resume|stored)$/.test(name));
const { certificate, key } = makeCertificate();
const tls = ['--certificate', certificate, '--key', key];

afterAll(() => {
  Child.killAll();
});

it('the folder contains more than 15 servers', () => {
  expect(programs.length).toBeGreaterThan(15);
});

describe.each(programs)('%s', (name) =>
  it.skipIf(name.includes('redis') && !isInstalled('redis-server'))(
    'starts to listen with each set of its options',
    async () => {
      const upstream = name.endsWith('proxy') ? ['--upstream', '127.0.0.1:9'] : [];
      for (const parameters of /echo|bulk/.test(name) ? [[], tls] : [[...tls, ...upstream]]) {
        const server = new Child(name, compiledOf(new URL(`servers/${name}.ts`, import.meta.url)), parameters, 0);
        expect((await server.listening()).port).toBeGreaterThan(0);
        await server.stop();
      }
    },
  ),
);
