import type { OwnFacts, UserNamespace } from './access-facts.js';

const CAP_SYS_PTRACE = 19n;

/** Whether a capability mask contains CAP_SYS_PTRACE. */
function hasPtrace(mask: bigint): boolean {
  return (mask / 2n ** CAP_SYS_PTRACE) % 2n === 1n;
}

/** Whether gospy has CAP_SYS_PTRACE in its own user namespace. */
export function holdsPtrace({ effectiveCaps }: OwnFacts): boolean {
  return hasPtrace(effectiveCaps);
}

/**
 * Where a user namespace is, seen from gospy: `own`, `below` its own, or `outside` of it. Capabilities count in gospy's own
 * namespace and in those below.
 */
export function locateNamespace(own: OwnFacts, target: UserNamespace): 'own' | 'below' | 'outside' {
  const mine = own.userNamespace;
  if (mine.id === null) return 'own';
  if (mine.id === target.id) return 'own';
  // The kernel shows the link only to who may read the process: in another namespace, only to who has power over that.
  if (target.id !== null) return 'below';
  const sameMap = mine.uidMap === target.uidMap;
  if (own.inFirstUserNamespace) return sameMap ? 'own' : 'below';
  // With CAP_SYS_PTRACE, gospy could read the link of each process of its own namespace.
  return sameMap && !holdsPtrace(own) ? 'own' : 'outside';
}

/** Whether gospy has CAP_SYS_PTRACE over a process: held in the process's user namespace or above, or by who made that. */
export function isCapable(own: OwnFacts, target: UserNamespace): boolean {
  const where = locateNamespace(own, target);
  if (where === 'outside') return false;
  return holdsPtrace(own) || (where === 'below' && target.id !== null);
}

/** What to type so that gospy has CAP_SYS_PTRACE. Root is never told to be root. `uid` is whose process it is, if known. */
export function adviseCapability(own: OwnFacts, uid: number | null): string {
  const asUser = uid === null || uid === own.uid || uid === 0 ? '' : `, or as uid ${uid}, whose process it is`;
  const isRoot = own.uid === 0;
  // Where even root could not have it, sudo does not help.
  if (isRoot || !hasPtrace(own.boundingCaps)) {
    return (
      'Give gospy CAP_SYS_PTRACE (in a container: `--cap-add SYS_PTRACE` with Docker or Podman, ' +
      '`capabilities: {add: [SYS_PTRACE]}` or `kubectl debug --profile=general` in Kubernetes), or run it ' +
      `${isRoot ? '' : 'as root '}outside of the container${asUser}.`
    );
  }
  if (own.noNewPrivileges)
    return `Run gospy as root${asUser}, from elsewhere: no_new_privs is set here, and sudo cannot work.`;
  return `Run gospy as root (\`sudo gospy ...\`)${asUser}.`;
}

/** Where to run gospy if a process is outside of its user namespace. */
export const OUTSIDE_ADVICE =
  'Run gospy outside of that namespace (with a rootless container: on its host), as the user of the process or as root.';

/** What gospy can capture by its own rights. */
export interface Privileges {
  /** null if that is not all that one may want. */
  readonly ok: boolean | null;
  readonly finding: string;
  readonly advice: string | null;
}

/** Which processes gospy can capture by its own rights. `canTrace` is whether it can attach to a child of its own. */
export function judgePrivileges(own: OwnFacts, canTrace: boolean | null): Privileges {
  const { yamaScope, uid } = own;
  const done = canTrace === false ? 'can be read with --mode live' : 'can be captured';
  const capable = holdsPtrace(own);
  const theirs = `processes of this user${own.inFirstUserNamespace ? '' : ' in its own user namespace'} ${done}`;
  const who = `gospy runs as uid ${uid} ${capable ? 'with' : 'without'} CAP_SYS_PTRACE`;
  if (yamaScope === 3) {
    return {
      ok: false,
      finding: `Yama's ptrace_scope is 3: no process ${done}, not even by root`,
      advice: 'ptrace_scope 3 lasts until the next boot: set another in /etc/sysctl.d, and boot.',
    };
  }
  if (capable)
    return { ok: own.inFirstUserNamespace ? true : null, finding: `${who}${capableReach(own, done)}`, advice: null };
  if (yamaScope === null || yamaScope === 0) {
    return {
      ok: true,
      finding: `${who}: ${theirs}, unless they have more capabilities or are not dumpable`,
      advice: null,
    };
  }
  if (yamaScope === 'unknown') {
    const finding = `${who}: ${theirs}, unless Yama forbids it, whose ptrace_scope /proc does not show`;
    return { ok: null, finding, advice: null };
  }
  return {
    ok: false,
    finding:
      `${who}, and Yama's ptrace_scope is ${yamaScope}: ` +
      (yamaScope === 1 ? `only processes that gospy itself started, or that allow it, ${done}` : `no process ${done}`),
    advice: `${adviseCapability(own, null)} Or type \`sysctl kernel.yama.ptrace_scope=0\` as root of the machine.`,
  };
}

function capableReach(own: OwnFacts, done: string): string {
  if (!own.inFirstUserNamespace) {
    return ` in its own user namespace only: processes in it and below it ${done}, those outside of it cannot`;
  }
  const place = own.inFirstPidNamespace ? '' : ' in this pid namespace (a container)';
  const { securityLabel } = own;
  const limit =
    securityLabel === null || securityLabel.startsWith('unconfined')
      ? ''
      : `, if its security profile (${securityLabel}) permits it`;
  return `: the processes of all users${place} ${done}${limit}`;
}
