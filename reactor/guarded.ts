/** Code of users that is called in the middle of our own. */

/** Runs `task`; what it throws surfaces from a microtask of its own, after whatever goes on now. */
export function guarded(task: () => void): void {
  try {
    task();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
