import type { AccessFacts } from './access-facts.js';
import { OUTSIDE_ADVICE, adviseCapability, holdsPtrace, isCapable, locateNamespace } from './privileges.js';

/** One of the kernel's conditions for reaching into another process. */
export interface AccessCheck {
  readonly name: 'tracer' | 'namespace' | 'uid' | 'capabilities' | 'dumpable' | 'yama' | 'lsm' | 'seccomp';
  /** null if it cannot be known from here, or was not asked for since another one failed. */
  readonly ok: boolean | null;
  /** What was found, as a clause: `it belongs to uid 0 and gospy runs as uid 1000`. */
  readonly finding: string;
  /** What to try if `ok` is false. */
  readonly advice: string | null;
}

/** How the kernel checks a capability of gospy's over a process, for all the checks that it overrides. */
interface Judged extends AccessFacts {
  readonly capable: boolean;
  readonly where: ReturnType<typeof locateNamespace>;
  /** Whether all of the process's user and group ids are gospy's. */
  readonly sameIds: boolean;
}

/**
 * The kernel's conditions for tracing a process, in the order of `ptrace_attach` and `__ptrace_may_access` (kernel/ptrace.c,
 * security/commoncap.c, security/yama). If the process can be read, they hold, whatever can be seen of each: all but the
 * tracer and the seccomp filter, which decide about single system calls.
 */
export function accessChecks(facts: AccessFacts): AccessCheck[] {
  const { own, target } = facts;
  const judged: Judged = {
    ...facts,
    capable: isCapable(own, target.userNamespace),
    where: locateNamespace(own, target.userNamespace),
    sameIds: target.uids.every((id) => id === own.uid) && target.gids.every((id) => id === own.gid),
  };
  const checks = [
    tracerCheck(judged),
    namespaceCheck(judged),
    uidCheck(judged),
    capabilityCheck(judged),
    dumpableCheck(judged),
    yamaCheck(judged),
  ];
  return [...checks, moduleCheck(judged, checks), seccompCheck(judged)];
}

function pass(name: AccessCheck['name'], finding: string): AccessCheck {
  return { name, ok: true, finding, advice: null };
}

function unknown(name: AccessCheck['name'], finding: string): AccessCheck {
  return { name, ok: null, finding, advice: null };
}

function tracerCheck({ target: { tracer } }: Judged): AccessCheck {
  if (tracer === null) return pass('tracer', 'no process that gospy can see traces it');
  const who = `${tracer.name} (pid ${tracer.pid})`;
  return {
    name: 'tracer',
    ok: false,
    finding: `${who} traces it already, and a process has one tracer at most`,
    advice: `Detach or end ${who}.`,
  };
}

function namespaceCheck({ own, target, where, capable, readable }: Judged): AccessCheck {
  if (where === 'own') {
    const shows = target.userNamespace.id !== null || own.inFirstUserNamespace || readable;
    if (shows) return pass('namespace', "it is in gospy's own user namespace");
    return unknown('namespace', 'it may be in another user namespace than gospy, which does not show');
  }
  if (where === 'below' && capable) {
    return pass('namespace', 'it is in a user namespace below that of gospy, which has CAP_SYS_PTRACE over that one');
  }
  if (readable) return pass('namespace', "it is within reach of gospy's user namespace");
  const failed = { name: 'namespace', ok: false } as const;
  if (where === 'below') {
    const finding = 'it is in a user namespace below that of gospy, which has no CAP_SYS_PTRACE over that one';
    return {
      ...failed,
      finding,
      advice: `${adviseCapability(own, null)} Or run it as the user who made that namespace.`,
    };
  }
  const limited = holdsPtrace(own)
    ? `gospy is ${own.uid === 0 ? 'root' : 'capable'} only within its own user namespace`
    : 'gospy runs in a user namespace of its own';
  return { ...failed, finding: `${limited}, and the process is outside of that`, advice: OUTSIDE_ADVICE };
}

function uidCheck({ own, target, where, sameIds, capable, readable }: Judged): AccessCheck {
  const { uid } = own;
  const its = target.uids[1] ?? -1;
  if (sameIds && where === 'outside') return pass('uid', `both run as uid ${its}, as gospy's user namespace shows it`);
  if (sameIds) return pass('uid', `it belongs to uid ${its}, as gospy does`);
  const whose = uid === its ? 'it runs with other user or group ids than gospy' : `it belongs to uid ${its}`;
  if (capable || readable) return pass('uid', `${whose}, and gospy runs as uid ${uid} with CAP_SYS_PTRACE over it`);
  if (where === 'outside') {
    return { name: 'uid', ok: false, finding: `${whose}, as gospy's user namespace shows it`, advice: OUTSIDE_ADVICE };
  }
  return {
    name: 'uid',
    ok: false,
    finding: `${whose} and gospy runs as uid ${uid} without CAP_SYS_PTRACE`,
    advice: adviseCapability(own, its),
  };
}

/** Without CAP_SYS_PTRACE, a process may be traced only by one of its user namespace that has all of its capabilities. */
function capabilityCheck({ own, target, where, sameIds, capable, readable }: Judged): AccessCheck {
  const lacking = target.permittedCaps - (target.permittedCaps & own.permittedCaps);
  if (capable) {
    return pass(
      'capabilities',
      lacking === 0n
        ? 'it has no capability that gospy lacks'
        : `it has ${namesOf(lacking)}, which gospy lacks; CAP_SYS_PTRACE makes up for that`,
    );
  }
  if (where !== 'own') return unknown('capabilities', 'those of one user namespace do not count in another');
  if (lacking === 0n || readable) return pass('capabilities', 'it has no capability that gospy lacks');
  const finding = `it has ${namesOf(lacking)}, which gospy lacks`;
  // Of a process with other ids, the kernel does not get to them.
  return sameIds
    ? { name: 'capabilities', ok: false, finding, advice: adviseCapability(own, null) }
    : unknown('capabilities', finding);
}

/**
 * In /proc, the files of an undumpable process belong to root. That does not show of a process of root, nor where gospy's user
 * namespace has no number for either.
 */
function dumpableCheck({ own, target, where, capable, readable }: Judged): AccessCheck {
  const { filesOwner, uids } = target;
  const shows = where !== 'outside' && filesOwner !== null && uids[1] !== 0;
  if (shows && filesOwner === uids[1]) return pass('dumpable', 'it is dumpable');
  if (capable) {
    return pass(
      'dumpable',
      shows
        ? 'it is not dumpable; CAP_SYS_PTRACE makes up for that'
        : 'it need not be, since gospy has CAP_SYS_PTRACE over it',
    );
  }
  if (readable) return pass('dumpable', 'it is dumpable');
  if (!shows) return unknown('dumpable', 'it may be marked as not dumpable, which does not show from here');
  return {
    name: 'dumpable',
    ok: false,
    finding:
      'it is not dumpable (prctl PR_SET_DUMPABLE, a set-uid program, or a program file that its user may not read) ' +
      'and gospy has no CAP_SYS_PTRACE',
    advice: adviseCapability(own, null),
  };
}

function yamaCheck({ own, target, capable, readable }: Judged): AccessCheck {
  const scope = own.yamaScope;
  if (scope === null) return pass('yama', 'this kernel has no Yama');
  if (scope === 'unknown') {
    if (readable) return pass('yama', 'Yama does not forbid it');
    return unknown(
      'yama',
      'Yama may forbid it: /proc is mounted without the settings of the kernel, such as ptrace_scope',
    );
  }
  const finding = `Yama's ptrace_scope is ${scope}`;
  if (scope === 0) return pass('yama', `${finding}, which forbids nothing`);
  if (scope !== 3 && capable) return pass('yama', `${finding}; CAP_SYS_PTRACE makes up for that`);
  if (scope === 1 && target.descendsFromGospy) return pass('yama', `${finding}, and gospy started the process`);
  if (readable) return pass('yama', `${finding}, and the process lets gospy in (prctl PR_SET_PTRACER)`);
  const failed = { name: 'yama', ok: false } as const;
  if (scope === 3) {
    const advice = 'ptrace_scope 3 lasts until the next boot: set another in /etc/sysctl.d, and boot.';
    return { ...failed, finding: `${finding}, which forbids every attach, also to root`, advice };
  }
  const whom =
    scope === 1
      ? 'only its ancestors and processes with CAP_SYS_PTRACE may trace it'
      : 'only processes with CAP_SYS_PTRACE may trace it';
  const advice = `${adviseCapability(own, null)} Or type \`sysctl kernel.yama.ptrace_scope=0\` as root of the machine.`;
  return { ...failed, finding: `${finding}: ${whom}`, advice };
}

/** A security module is asked last: it is to blame only if everything else permits what was refused. */
function moduleCheck({ own, target, readable }: Judged, before: readonly AccessCheck[]): AccessCheck {
  if (readable) return pass('lsm', 'no security module forbids it');
  if (before.some(({ name, ok }) => ok === false && name !== 'tracer')) {
    return unknown('lsm', 'a security module (AppArmor, SELinux) is asked only if the checks above permit it');
  }
  const unclear = before.filter(({ ok }) => ok === null).map(({ finding }) => finding);
  const modules = modulesOf(own.securityModules);
  const why =
    unclear.length === 0
      ? `though its other checks permit it, which leaves ${modules}`
      : `for a reason that does not show: ${unclear.join(', or ')}, or ${modules} forbids it`;
  const finding = `the kernel refuses it, ${why}${labels(own.securityLabel, target.securityLabel)}`;
  const log = adviseModule(own.securityModules, own.securityLabel);
  return {
    name: 'lsm',
    ok: false,
    finding,
    advice: unclear.length === 0 || holdsPtrace(own) ? log : `${adviseCapability(own, null)} ${log}`,
  };
}

/** Security modules that decide about ptrace. */
const MODULES: ReadonlyMap<string, string> = new Map([
  ['apparmor', 'AppArmor'],
  ['selinux', 'SELinux'],
  ['smack', 'Smack'],
  ['landlock', 'Landlock'],
  ['bpf', 'a BPF program'],
]);

function modulesOf(active: readonly string[] | null): string {
  if (active === null) return 'a security module (AppArmor, SELinux, Landlock)';
  const known = active.flatMap((name) => MODULES.get(name) ?? []);
  return known.length === 0
    ? `a security module (this kernel has ${active.join(', ')})`
    : `a security module (${known.join(', ')})`;
}

function labels(own: string | null, its: string | null): string {
  if (own === null) return '';
  return its === null ? `; gospy runs as ${own}` : `; gospy runs as ${own}, the process as ${its}`;
}

function adviseModule(active: readonly string[] | null, label: string | null): string {
  const log = 'Look for a denial in the audit log: `dmesg | grep -i denied`.';
  if (active?.includes('selinux') === true) {
    return `${log} With SELinux, see \`getsebool deny_ptrace\` and \`ausearch -m avc -ts recent\`.`;
  }
  const confined = label !== null && !label.startsWith('unconfined');
  return confined ? `${log} In a container: \`--security-opt apparmor=unconfined\`, or run gospy outside of it.` : log;
}

function seccompCheck({ own, target, readable, canTrace }: Judged): AccessCheck {
  if (own.seccomp === 0) return pass('seccomp', 'gospy runs under no seccomp filter');
  const finding = 'gospy runs under a seccomp filter';
  if (canTrace === true) return pass('seccomp', `${finding}, which permits ptrace`);
  if (canTrace === null || !readable || target.tracer !== null)
    return unknown('seccomp', `${finding}, which may forbid ptrace`);
  return {
    name: 'seccomp',
    ok: false,
    finding: `${finding}, which forbids ptrace`,
    advice: 'In a container: `--cap-add SYS_PTRACE`, or `--security-opt seccomp=unconfined`.',
  };
}

/** In the order of their numbers, from the kernel's uapi/linux/capability.h. */
const CAPABILITIES = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN ' +
  'SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE ' +
  'MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
).split(' ');
const MOST_NAMES = 3;

function namesOf(mask: bigint): string {
  const names: string[] = [];
  for (let i = 0, rest = mask; rest > 0n; i++, rest /= 2n) {
    if (rest % 2n === 1n) names.push(`CAP_${CAPABILITIES[i] ?? i}`);
  }
  if (names.length <= MOST_NAMES) return names.join(', ');
  return `${names.slice(0, MOST_NAMES).join(', ')} and ${names.length - MOST_NAMES} other capabilities`;
}
