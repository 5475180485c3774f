/** The conformance checks of selectors, for any test runner. Every selector must pass them. */

import assert from 'node:assert/strict';

import { Handle, HANGUP, READABLE, WRITABLE } from '../../reactor/handle.ts';
import type { Selector } from '../../reactor/selector.ts';
import type { SystemCalls } from '../../reactor/system-calls.ts';
import type { Check } from './check-transport.ts';

/** A selector, and two connected descriptors that are not registered with it. */
export interface SelectorSetting {
  readonly selector: Selector;
  readonly calls: SystemCalls;
  readonly near: number;
  readonly far: number;
  /** Lets everything in flight arrive. */
  readonly settle: () => Promise<void>;
  /** Releases everything that the setting holds. */
  dispose(): Promise<void>;
}

/** @param make makes a new setting for each check. @returns the checks. */
export function checkSelector(make: () => Promise<SelectorSetting>): Check[] {
  const check = (name: string, run: (setting: SelectorSetting & { poll: () => Handle[] }) => Promise<void>): Check => ({
    name,
    run: async () => {
      const setting = await make();
      const poll = (): Handle[] => {
        const handles: Handle[] = [];
        setting.selector.poll({ add: (handle) => handles.push(handle) });
        return handles;
      };
      try {
        await run({ ...setting, poll });
      } finally {
        await setting.dispose();
      }
    },
  });
  const registered = ({ selector, near }: SelectorSetting): Handle => {
    const handle = new Handle(near);
    selector.register(handle);
    return handle;
  };

  return [
    check('delivers readiness that exists at registration', async (setting) => {
      setting.calls.send(setting.far, Buffer.from('early'));
      await setting.settle();
      const handle = registered(setting);
      await setting.settle();
      assert.deepEqual(setting.poll(), [handle]);
      assert.equal(handle.readiness & (READABLE | WRITABLE), READABLE | WRITABLE);
    }),
    check('delivers readiness once, when it begins', async (setting) => {
      const handle = registered(setting);
      await setting.settle();
      setting.poll();
      assert.equal(handle.readiness, WRITABLE);
      await setting.settle();
      assert.deepEqual(setting.poll(), []);
      setting.calls.send(setting.far, Buffer.from('news'));
      await setting.settle();
      assert.deepEqual(setting.poll(), [handle]);
      assert.equal(handle.readiness & READABLE, READABLE);
      assert.deepEqual(setting.poll(), []);
    }),
    check('delivers readiness again when it comes back after it was used up', async (setting) => {
      const handle = registered(setting);
      for (let round = 0; round < 3; round++) {
        setting.calls.send(setting.far, Buffer.from('more'));
        await setting.settle();
        setting.poll();
        assert.equal(handle.readiness & READABLE, READABLE);
        assert.equal(setting.calls.recv(setting.near, new Uint8Array(16)), 4);
        handle.readiness &= ~READABLE;
      }
    }),
    check('delivers writable when the reader has made room', async (setting) => {
      const handle = registered(setting);
      const chunk = new Uint8Array(65_536);
      let sent = 0;
      for (let quiet = 0; quiet < 5;) {
        const count = setting.calls.send(setting.near, chunk);
        if (count > 0) [sent, quiet] = [sent + count, 0];
        else {
          await setting.settle();
          quiet++;
        }
      }
      setting.poll();
      handle.readiness = 0;
      for (let read = 0; read < sent;) {
        const count = setting.calls.recv(setting.far, chunk);
        if (count > 0) read += count;
        else await setting.settle();
      }
      await setting.settle();
      setting.poll();
      assert.equal(handle.readiness & WRITABLE, WRITABLE);
    }),
    check("delivers the peer's end as readable and as a hang-up", async (setting) => {
      const handle = registered(setting);
      await setting.settle();
      setting.poll();
      setting.calls.shutdown(setting.far, 1);
      await setting.settle();
      assert.deepEqual(setting.poll(), [handle]);
      assert.equal(handle.readiness & (READABLE | HANGUP), READABLE | HANGUP);
    }),
    check('delivers no event after deregistration, not even one that was already queued', async (setting) => {
      const handle = registered(setting);
      setting.calls.send(setting.far, Buffer.from('late'));
      await setting.settle();
      setting.selector.deregister(handle);
      assert.deepEqual(setting.poll(), []);
      assert.equal(handle.readiness, 0);
      setting.selector.deregister(handle);
    }),
    check('delivers the events of a reused descriptor number only to its new handle', async (setting) => {
      const old = registered(setting);
      setting.calls.send(setting.far, Buffer.from('x'));
      await setting.settle();
      setting.selector.deregister(old);
      const renewed = new Handle(setting.near);
      setting.selector.register(renewed);
      assert.notEqual(renewed.generation, old.generation);
      await setting.settle();
      assert.deepEqual(setting.poll(), [renewed]);
      assert.equal(old.readiness, 0);
    }),
    check('calls the onReady callback when an event arrives', async (setting) => {
      let woken = 0;
      setting.selector.onReady(() => woken++);
      registered(setting);
      setting.calls.send(setting.far, Buffer.from('wake'));
      for (let i = 0; woken === 0 && i < 1_000; i++) await setting.settle();
      assert(woken > 0);
    }),
  ];
}
