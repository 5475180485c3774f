import { describe, expect, it } from 'vitest';

import { hostName, lookUpName, readHostName, wildcardOverUnderscore } from './host-name.ts';

describe('the name of a host', () => {
  it('has one form, however it is spelt', () => {
    for (const [text, name] of [
      ['Example.TEST.', 'example.test'],
      ['bücher.test', 'xn--bcher-kva.test'],
      ['BÜCHER.test.', 'xn--bcher-kva.test'],
      ['a。b。', 'a.b'],
      ['my_app.test', 'my_app.test'],
      ['::1%lo', '::1'],
      ['0:0::1', '::1'],
      ['FE80::1%eth0', 'fe80::1'],
      ['127.0.0.1', '127.0.0.1'],
      ['::FFFF:7f00:1', '::ffff:127.0.0.1'],
      ['r3---sn.test', 'r3---sn.test'],
      ['XN--BCHER-KVA.test.', 'xn--bcher-kva.test'],
      ['xn--strae-oqa.test', 'xn--strae-oqa.test'],
      ['straße.test', 'xn--strae-oqa.test'],
      ['xn--ls8h', 'xn--ls8h'],
      ['xn--nxasmm1c.xn--4db', 'xn--nxasmm1c.xn--4db'],
    ] as const)
      expect(readHostName(text), text).toEqual({ name });
  });

  it('is refused when no host can have it', () => {
    for (const text of [
      '',
      '.',
      '.a.test',
      'a..b',
      'a/b',
      'a\\b',
      'a:b',
      'a@b',
      'a#b',
      'a?b',
      'a%b',
      'a b',
      'a\tb',
      'a\0b',
      'a\u0085b',
      '\u00a0a',
      '[::1]',
      'https://a.test',
      '0x7f.1',
      '127.1',
      '１２７.0.0.1',
      '127.0.0.1.',
      '127.0.0.01',
      '*.test',
      'a!b',
      'xn--a',
      'XN--A.test',
      'a.xn--',
      'xn--a-',
      'xn--abc.test.',
      'xn--1ug',
      'bücher.xn--99zzzz',
      `${'a'.repeat(64)}.test`,
      `${'a.'.repeat(127)}ab`,
      'a％b',
      '\ud800.test',
      'a..',
    ]) {
      expect(readHostName(text), text).toHaveProperty('fault');
      expect(() => hostName(text, 'serverName'), text).toThrow(RangeError);
    }
    expect(() => hostName('a b', 'serverName')).toThrow('serverName cannot be "a b": a name cannot contain " "');
    expect(() => hostName('0x7f.1', 'host')).toThrow(
      'host cannot be "0x7f.1": it is another spelling of the address 127.0.0.1',
    );
  });

  it('keeps its final dot and its zone only for the look-up', () => {
    for (const [text, name] of [
      ['BÜCHER.test.', 'xn--bcher-kva.test.'],
      ['a。', 'a.'],
      ['A', 'a'],
      ['FE80::1%eth0', 'fe80::1%eth0'],
      ['127.0.0.1', '127.0.0.1'],
    ] as const)
      expect(lookUpName(text, 'host'), text).toBe(name);
  });

  it('is covered by a wildcard when its left-most label contains an underscore', () => {
    for (const [name, wildcard] of [
      ['my_app.example.test', '*.example.test'],
      ['_a.b.c.test', '*.b.c.test'],
      ['myapp.example.test', undefined],
      ['my_app.test', undefined],
      ['a.my_zone.example.test', undefined],
      ['a_b.my_zone.example.test', undefined],
      ['xn--a_b.example.test', undefined],
      ['a_b.-x.test', undefined],
      ['my_app', undefined],
    ] as const)
      expect(wildcardOverUnderscore(name), name).toBe(wildcard);
  });
});
