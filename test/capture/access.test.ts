import { test } from 'tap';
import { accessChecks, type AccessCheck } from '../../capture/process/access-checks.js';
import type { AccessFacts, OwnFacts, TargetFacts } from '../../capture/process/access-facts.js';
import { procFault } from '../../capture/process/own-proc.js';
import { explainRefusal } from '../../capture/process/permission.js';
import { judgePrivileges } from '../../capture/process/privileges.js';
import { hidingOption } from '../../capture/process/unseen-process.js';

const NET_BIND = 2n ** 10n;
const ALL = 2n ** 41n - 1n;
const IDENTITY = '0 0 4294967295';
const FIRST = { id: 'user:[4026531837]', uidMap: IDENTITY };
const CONTAINED = { id: 'user:[4026532177]', uidMap: '0 1000 1' };

/** gospy as an ordinary user of a machine without security modules. */
const user: OwnFacts = {
  pid: 100,
  uid: 1000,
  gid: 1000,
  permittedCaps: 0n,
  effectiveCaps: 0n,
  boundingCaps: ALL,
  noNewPrivileges: false,
  seccomp: 0,
  userNamespace: FIRST,
  inFirstUserNamespace: true,
  inFirstPidNamespace: true,
  yamaScope: null,
  securityModules: null,
  securityLabel: null,
};
const root: OwnFacts = { ...user, uid: 0, gid: 0, permittedCaps: ALL, effectiveCaps: ALL };
/** root of a container, without CAP_SYS_PTRACE. */
const weakRoot: OwnFacts = {
  ...root,
  permittedCaps: NET_BIND,
  effectiveCaps: NET_BIND,
  boundingCaps: NET_BIND,
  inFirstPidNamespace: false,
};
/** root of a rootless container. */
const rootless: OwnFacts = {
  ...root,
  userNamespace: CONTAINED,
  inFirstUserNamespace: false,
  inFirstPidNamespace: false,
};

/** A process of uid 1000. */
const target: TargetFacts = {
  pid: 200,
  tracer: null,
  uids: [1000, 1000, 1000],
  gids: [1000, 1000, 1000],
  permittedCaps: 0n,
  userNamespace: FIRST,
  filesOwner: 1000,
  descendsFromGospy: false,
  securityLabel: null,
};
const rootTarget: TargetFacts = { ...target, uids: [0, 0, 0], gids: [0, 0, 0], permittedCaps: ALL, filesOwner: 0 };
const traced: TargetFacts = { ...target, tracer: { pid: 300, name: 'dlv' } };

function factsOf(own: OwnFacts, its: TargetFacts, rest: Partial<AccessFacts> = {}): AccessFacts {
  return { own, target: its, readable: false, canTrace: null, ...rest };
}

function find(facts: AccessFacts, name: AccessCheck['name']): AccessCheck | undefined {
  return accessChecks(facts).find((check) => check.name === name);
}

const SUDO = /^Run gospy as root \(`sudo gospy \.\.\.`\)/;
const CONTAINER = /^Give gospy CAP_SYS_PTRACE .*--cap-add SYS_PTRACE/;
const OUTSIDE = /outside of that namespace .* as the user of the process or as root\.$/;
const unmapped = {
  ...target,
  userNamespace: { id: null, uidMap: IDENTITY },
  uids: [65534, 65534, 65534],
  filesOwner: 65534,
};

const REFUSALS: readonly [string, AccessFacts, reasons: RegExp, advice: RegExp][] = [
  [
    "another user's process",
    factsOf(user, rootTarget),
    /^it belongs to uid 0 and gospy runs as uid 1000 without/,
    SUDO,
  ],
  [
    'a process of a third user',
    factsOf({ ...user, uid: 7, gid: 7 }, target),
    /uid 1000 and gospy runs as/,
    /or as uid 1000/,
  ],
  ['sudo that cannot work', factsOf({ ...user, noNewPrivileges: true }, rootTarget), /uid 0/, /no_new_privs/],
  ['root without the capability', factsOf(weakRoot, target), /uid 1000 and gospy runs as uid 0 without/, CONTAINER],
  ['a user of a container', factsOf({ ...user, boundingCaps: NET_BIND }, rootTarget), /uid 0/, CONTAINER],
  [
    'file capabilities',
    factsOf(user, { ...target, permittedCaps: NET_BIND }),
    /^it has CAP_NET_BIND_SERVICE, which gospy lacks$/,
    SUDO,
  ],
  ['a process that is not dumpable', factsOf(user, { ...target, filesOwner: 0 }), /^it is not dumpable \(prctl/, SUDO],
  [
    'the user namespace below that of a process',
    factsOf(rootless, unmapped),
    /^gospy is root only within its own user namespace, and the process is outside of that$/,
    OUTSIDE,
  ],
  [
    'a process with the same ids outside of the user namespace',
    factsOf(rootless, { ...rootTarget, userNamespace: { id: null, uidMap: IDENTITY } }),
    /^gospy is root only within its own user namespace/,
    OUTSIDE,
  ],
  [
    'a user namespace beside that of a process, with the same map',
    factsOf(rootless, { ...rootTarget, userNamespace: { id: null, uidMap: CONTAINED.uidMap } }),
    /^gospy is root only within its own user namespace/,
    OUTSIDE,
  ],
  [
    'a user namespace without rights',
    factsOf({ ...rootless, uid: 65534, gid: 65534, effectiveCaps: 0n, permittedCaps: 0n }, unmapped),
    /^gospy runs in a user namespace of its own, and the process is outside of that$/,
    OUTSIDE,
  ],
  [
    'a user namespace that somebody else made',
    factsOf(user, { ...target, userNamespace: { id: null, uidMap: '0 1001 1' } }),
    /^it is in a user namespace below that of gospy, which has no CAP_SYS_PTRACE/,
    /sudo gospy .* the user who made that namespace/,
  ],
  ['Yama 1', factsOf({ ...user, yamaScope: 1 }, target), /ptrace_scope is 1: only its ancestors/, /sudo gospy .*yama/],
  ['Yama 2', factsOf({ ...user, yamaScope: 2 }, target), /ptrace_scope is 2: only processes with/, /sudo gospy .*yama/],
  ['Yama 2 for root', factsOf({ ...weakRoot, yamaScope: 2 }, rootTarget), /is 2/, CONTAINER],
  ['Yama 3', factsOf({ ...root, yamaScope: 3 }, target), /ptrace_scope is 3, which forbids every attach/, /next boot/],
  ['Yama that does not show', factsOf({ ...user, yamaScope: 'unknown' }, target), /Yama may forbid it/, SUDO],
  [
    'a process of root that may be undumpable',
    factsOf(weakRoot, { ...rootTarget, permittedCaps: 0n }),
    /for a reason that does not show: it may be marked as not dumpable, .* or a security module/,
    CONTAINER,
  ],
  ['a security module that does not show', factsOf(root, target), /which leaves a security module \(AppArmor/, /dmesg/],
  [
    'AppArmor',
    factsOf(
      { ...root, securityModules: ['capability', 'apparmor'], securityLabel: 'docker-default (enforce)' },
      target,
    ),
    /leaves a security module \(AppArmor\); gospy runs as docker-default \(enforce\)$/,
    /apparmor=unconfined/,
  ],
  [
    'SELinux',
    factsOf(
      { ...root, securityModules: ['capability', 'selinux'], securityLabel: 'u:r:container_t:s0' },
      { ...target, securityLabel: 'u:r:app_t:s0' },
    ),
    /\(SELinux\); gospy runs as u:r:container_t:s0, the process as u:r:app_t:s0$/,
    /getsebool deny_ptrace/,
  ],
  [
    'another tracer, but memory that may be read',
    factsOf(user, traced, { readable: true }),
    /^dlv \(pid 300\) traces it already, and a process has one tracer at most$/,
    /^Detach or end dlv \(pid 300\)\. .*--mode live/,
  ],
  [
    'another tracer of what may not be read',
    factsOf(user, { ...rootTarget, tracer: traced.tracer }),
    /dlv.*; it belongs to uid 0/,
    /^((?!live).)*$/,
  ],
  [
    'a seccomp filter against ptrace',
    factsOf({ ...user, seccomp: 2 }, target, { readable: true }),
    /^gospy runs under a seccomp filter, which forbids ptrace$/,
    /seccomp=unconfined.*--mode live/,
  ],
  [
    'a tracer that is gone',
    factsOf(user, target, { readable: true }),
    /had it just now$/,
    /^Try again\. .*--mode live/,
  ],
  [
    'a tracer outside of the container',
    factsOf(weakRoot, target, { readable: true }),
    /cannot be seen from this pid/,
    /--mode live/,
  ],
];

test('access: a refusal names its cause and what helps', (t) => {
  for (const [name, facts, reasons, advice] of REFUSALS) {
    const said = explainRefusal(facts);
    t.match(said.reasons, reasons, name);
    t.match(said.advice, advice, name);
  }
  t.end();
});

test('access: what overrides a check, or makes up for it, is said', (t) => {
  const open = { readable: true, canTrace: true };
  const over = (own: OwnFacts, its: TargetFacts, name: AccessCheck['name']): unknown =>
    find(factsOf(own, its, open), name);
  t.match(over(root, target, 'uid'), {
    ok: true,
    finding: 'it belongs to uid 1000, and gospy runs as uid 0 with CAP_SYS_PTRACE over it',
  });
  t.match(over(user, target, 'uid'), { ok: true, finding: 'it belongs to uid 1000, as gospy does' });
  t.match(over(user, target, 'dumpable'), { ok: true, finding: 'it is dumpable' });
  t.match(over(root, { ...target, filesOwner: 0 }, 'dumpable'), {
    ok: true,
    finding: /^it is not dumpable; CAP_SYS_PTRACE/,
  });
  t.match(over(root, rootTarget, 'dumpable'), { ok: true, finding: /^it need not be/ });
  t.match(over({ ...root, yamaScope: 1 }, target, 'yama'), { ok: true, finding: /is 1; CAP_SYS_PTRACE makes up/ });
  t.match(over({ ...user, yamaScope: 1 }, { ...target, descendsFromGospy: true }, 'yama'), {
    ok: true,
    finding: /started/,
  });
  t.match(over({ ...user, yamaScope: 1 }, target, 'yama'), { ok: true, finding: /PR_SET_PTRACER/ });
  t.match(over({ ...user, seccomp: 2 }, target, 'seccomp'), { ok: true, finding: /which permits ptrace$/ });
  const below = { ...target, userNamespace: CONTAINED, permittedCaps: ALL };
  t.match(over(user, below, 'namespace'), { ok: true, finding: /below that of gospy, which has CAP_SYS_PTRACE over/ });
  t.match(over(user, below, 'capabilities'), { ok: true, finding: /^it has CAP_CHOWN, .* makes up for that$/ });
  t.match(find(factsOf({ ...user, seccomp: 2 }, target), 'seccomp'), { ok: null, finding: /may forbid/ });
  t.end();
});

/** Every combination of what facts may be. */
function* everything(): Generator<AccessFacts> {
  const owners = [user, root, weakRoot, rootless, { ...user, boundingCaps: 0n }, { ...user, noNewPrivileges: true }];
  const targets = [target, rootTarget, traced, { ...target, filesOwner: 0 }, { ...target, permittedCaps: NET_BIND }];
  const namespaces = [FIRST, CONTAINED, { id: null, uidMap: IDENTITY }, { id: null, uidMap: CONTAINED.uidMap }];
  for (const own of owners)
    for (const its of targets)
      for (const userNamespace of namespaces)
        for (const yamaScope of [null, 0, 1, 2, 3, 'unknown'] as const)
          for (const seccomp of [0, 2])
            for (const descendsFromGospy of [false, true])
              for (const readable of [false, true])
                for (const canTrace of [false, true, null])
                  yield {
                    own: { ...own, yamaScope, seccomp },
                    target: { ...its, userNamespace, descendsFromGospy },
                    readable,
                    canTrace,
                  };
}

test('access: no sentence contradicts its verdict, whatever the facts', (t) => {
  const wrong: unknown[] = [];
  let count = 0;
  for (const facts of everything()) {
    const checks = accessChecks(facts);
    const failed = checks.filter(({ ok }) => ok === false);
    const { reasons, advice } = explainRefusal(facts);
    const truths = {
      'advice stands with what failed, and only there': checks.every(
        ({ ok, advice }) => (ok === false) === (advice !== null),
      ),
      'what is ok lacks nothing': checks.every(
        ({ ok, finding }) => ok !== true || !/\b(without|has no CAP|refuses)/.test(finding),
      ),
      'what is not known is not claimed': checks.every(
        ({ ok, finding }) => ok !== null || !/^it is dumpable/.test(finding),
      ),
      'what can be read was permitted':
        !facts.readable || failed.every(({ name }) => name === 'tracer' || name === 'seccomp'),
      'a refusal has a cause': facts.readable || failed.some(({ name }) => name !== 'tracer'),
      'a module is blamed last':
        failed.every(({ name }) => name !== 'lsm') || failed.every(({ name }) => name === 'lsm' || name === 'tracer'),
      'root is not told to be root': facts.own.uid !== 0 || !/Run gospy as root/.test(advice),
      'mode live is offered where it works': /--mode live/.test(advice) === facts.readable,
      'there is a reason': reasons !== '' && advice !== '',
    };
    for (const [truth, holds] of Object.entries(truths)) if (!holds) wrong.push({ truth, facts, checks, advice });
    count++;
  }
  t.strictSame(wrong.slice(0, 1), [], `${wrong.length} of ${count}`);
  t.end();
});

test('access: what gospy may capture by its own rights', (t) => {
  const cases: readonly [
    OwnFacts,
    canTrace: boolean | null,
    ok: boolean | null,
    finding: RegExp,
    advice: RegExp | null,
  ][] = [
    [root, true, true, /uid 0 with CAP_SYS_PTRACE: the processes of all users can be captured$/, null],
    [{ ...root, inFirstPidNamespace: false }, true, true, /all users in this pid namespace \(a container\) can/, null],
    [
      { ...root, securityLabel: 'docker-default (enforce)' },
      true,
      true,
      /\(docker-default \(enforce\)\) permits it$/,
      null,
    ],
    [root, false, true, /all users can be read with --mode live$/, null],
    [rootless, true, null, /in its own user namespace only: .* those outside of it cannot$/, null],
    [user, true, true, /uid 1000 without CAP_SYS_PTRACE: processes of this user can be captured, unless/, null],
    [{ ...user, inFirstUserNamespace: false }, true, true, /of this user in its own user namespace can/, null],
    [{ ...user, yamaScope: 'unknown' }, true, null, /unless Yama forbids it/, null],
    [{ ...user, yamaScope: 1 }, true, false, /is 1: only processes that gospy itself started/, SUDO],
    [{ ...user, yamaScope: 2 }, true, false, /is 2: no process can be captured/, SUDO],
    [{ ...weakRoot, yamaScope: 1 }, true, false, /is 1: only/, CONTAINER],
    [{ ...root, yamaScope: 3 }, true, false, /is 3: no process can be captured, not even by root/, /next boot/],
    [{ ...root, yamaScope: 2 }, true, true, /the processes of all users/, null],
  ];
  for (const [own, canTrace, ok, finding, advice] of cases) {
    const said = judgePrivileges(own, canTrace);
    t.equal(said.ok, ok, said.finding);
    t.match(said.finding, finding);
    if (advice === null) t.equal(said.advice, null);
    else t.match(said.advice, advice);
  }
  t.end();
});

test("access: a /proc of another pid namespace is told from gospy's own", (t) => {
  const own = { pid: 7, fileSystem: 0x9fa0, self: '7', namespacePids: [7] };
  t.equal(procFault(own), null);
  t.match(procFault({ ...own, self: '4711', namespacePids: [4711, 7] }), {
    finding: /gospy as process 4711 .* gospy is process 7/,
  });
  t.match(
    procFault({ ...own, namespacePids: [7, 7] }),
    { finding: /another pid namespace/ },
    'the numbers are equal by chance',
  );
  t.match(procFault({ ...own, self: null, namespacePids: [] }), { finding: /without gospy in it/ });
  t.match(procFault({ ...own, fileSystem: null, self: null, namespacePids: [] }), {
    finding: /no proc file system is mounted/,
  });
  t.match(procFault({ ...own, fileSystem: 0x01021994 }), { finding: /no proc/ }, 'a tmpfs with files of these names');
  t.end();
});

test('access: the option by which /proc hides processes', (t) => {
  const mounts = (options: string): string =>
    `proc /proc proc rw,${options} 0 0\nproc /mnt/proc proc rw,hidepid=1 0 0\n`;
  const seen = (options: string): string | null => hidingOption(mounts(options), [7, 8]);
  t.equal(seen('nosuid'), null);
  t.equal(seen('hidepid=0'), null);
  t.equal(seen('hidepid=off'), null);
  t.equal(seen('hidepid=2,gid=5'), 'hidepid=2');
  t.equal(seen('hidepid=2,gid=8'), null, 'its group sees all');
  t.equal(seen('gid=8,hidepid=invisible'), null);
  t.equal(seen('gid=8,hidepid=ptraceable'), 'hidepid=ptraceable', 'there is no group then');
  t.equal(hidingOption(mounts('hidepid=2'), [0]), null, 'without the option, it is the group of root');
  t.equal(seen('hidepid=invisible'), 'hidepid=invisible');
  t.equal(
    hidingOption(`${mounts('nosuid')}proc /proc proc rw,hidepid=ptraceable 0 0\n`, []),
    'hidepid=ptraceable',
    'the uppermost counts',
  );
  t.equal(hidingOption('', []), null);
  t.end();
});
