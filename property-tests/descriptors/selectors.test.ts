// Law: both selectors, epoll and the simulated one, pass the conformance checks.

import assert from 'node:assert/strict';

import { describe, it } from 'vitest';

import { epollGround } from '../../reactor/epoll/epoll-ground.ts';
import type { Ground } from '../../reactor/ground.ts';
import { World } from '../../reactor/simulated/world.ts';
import { checkSelector } from '../kit/check-selector.ts';
import type { SelectorSetting } from '../kit/check-selector.ts';

/** Makes two connected descriptors on one ground. */
async function connected(
  { calls }: Ground,
  settle: () => Promise<void>,
): Promise<{ near: number; far: number; close: () => void }> {
  const listener = calls.socket('IPv4');
  assert.equal(calls.bind(listener, { family: 'IPv4', host: '127.0.0.1', port: 0 }), 0);
  calls.listen(listener, 1);
  const near = calls.socket('IPv4');
  const address = calls.localAddress(listener);
  assert(address !== undefined);
  calls.connect(near, address);
  await settle();
  const far = calls.accept(listener, {});
  assert(far >= 0);
  return {
    near,
    far,
    close: () => {
      for (const fd of [near, far, listener]) calls.close(fd);
    },
  };
}

const real = async (): Promise<SelectorSetting> => {
  const ground = epollGround();
  // Loopback delivers within the call, but the wake-up needs a turn of the event loop.
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
  };
  ground.selector.setRef(true);
  const { near, far, close } = await connected(ground, settle);
  return {
    selector: ground.selector,
    calls: ground.calls,
    near,
    far,
    settle,
    dispose: () => {
      close();
      ground.selector.close();
      return Promise.resolve();
    },
  };
};

const simulated = async (): Promise<SelectorSetting> => {
  let ground: Ground | undefined;
  const world = new World({ wrap: (made) => (ground = made) });
  world.machine('only');
  assert(ground !== undefined);
  const { selector, calls } = ground;
  // Replaces the reactor's callback. Otherwise the machine's reactor would take the events first.
  selector.onReady(() => undefined);
  const settle = async (): Promise<void> => world.run(world.sleep(1));
  const { near, far, close } = await connected(ground, settle);
  return {
    selector,
    calls,
    near,
    far,
    settle,
    dispose: () => {
      close();
      return Promise.resolve();
    },
  };
};

for (const [name, make] of Object.entries({ epoll: real, simulated })) {
  describe(`the selector ${name}`, () => {
    for (const check of checkSelector(make)) it(check.name, check.run);
  });
}
