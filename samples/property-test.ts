/**
 * Tests a protocol by trying to break it: a request/reply client with a planted bug, which is found and shrunk in
 * seconds.
 *
 *     npm run sample -- property-test
 *
 * You will see the smallest plan under which the client gives a wrong answer, the trace of that run, and that the
 * repaired client passes the same plans. The bug: after a timeout the client asks again on the same connection, and
 * takes the late answer to its first question for the answer to its second. docs/testing.md explains it step by step.
 */

import fc from 'fast-check';
import { OperationTimeoutError } from 'wantio';
import type { Connection } from 'wantio';
import { harmlessFaults, link, simulate } from 'wantio/testing';

/** Asks each question until it is answered, at most three times. */
type Client = (connection: Connection, questions: readonly string[]) => Promise<string[]>;

const buggy: Client = async (connection, questions) => {
  const answers: string[] = [];
  for (const question of questions) {
    for (let tries = 0; tries < 3; tries++) {
      await connection.send(`${question}\n`);
      try {
        answers.push(await connection.receive('*l', { timeouts: { blockMs: 30 } }));
        break;
      } catch (error) {
        if (!(error instanceof OperationTimeoutError)) throw error;
        connection.unread(error.partial ?? new Uint8Array());
      }
    }
  }
  return answers;
};

/** Waits for the answer that names its question, and drops the answers to earlier questions. */
const repaired: Client = async (connection, questions) => {
  const answers: string[] = [];
  for (const question of questions) {
    await connection.send(`${question}\n`);
    let answer = await connection.receive();
    while (!answer.startsWith(`${question} `)) answer = await connection.receive();
    answers.push(answer);
  }
  return answers;
};

const plan = fc.record({ link: link(), faults: harmlessFaults() });

/** The law: each question gets its own answer, whatever the network does. */
const lawFor = (client: Client) =>
  fc.asyncProperty(plan, async (each) => {
    await simulate(each, async (world) => {
      const [asking, answering] = [world.machine('asking'), world.machine('answering')];
      const listener = await answering.reactor.listen({ host: '0.0.0.0', port: 7 });
      listener.serve({}, async (connection) => {
        for await (const question of connection.lines()) await connection.send(`${question} is answered\n`);
      });
      const connection = await asking.reactor.connect({ host: 'answering', port: 7 });
      const answers = await client(connection, ['one', 'two', 'three']);
      if (answers.join() !== 'one is answered,two is answered,three is answered')
        throw new Error(`wrong answers: ${answers.join(', ')}`);
    });
  });

const found = await fc.check(lawFor(buggy), { numRuns: 1_000, seed: 1 });
console.log(
  `the client with the bug: failed after ${String(found.numRuns)} plans, shrunk ${String(found.numShrinks)} times, to`,
);
console.log(fc.stringify(found.counterexample?.[0]));
console.log(found.errorInstance instanceof Error ? found.errorInstance.message : 'no error');
const held = await fc.check(lawFor(repaired), { numRuns: 1_000, seed: 1 });
console.log(`\nthe repaired client: ${held.failed ? 'failed' : `held on ${String(held.numRuns)} plans`}`);
