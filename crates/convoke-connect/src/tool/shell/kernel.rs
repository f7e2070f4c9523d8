//! The sandbox made of Landlock and a system call filter, for machines without bubblewrap.
//!
//! Rule: Landlock says which files (the same as in [`super::bubblewrap`]; no `/proc`, no devices but null, zero, random). The
//! filter forbids what Landlock does not know: sockets of every kind, leaving the process group (so that killing the group
//! ends everything), changing rights and owners of files, tracing, mounting, and other ways to reach past the sandbox. Capabilities are dropped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use tokio::process::Command;

use super::sandbox::{Ground, NETWORK_SETTINGS, SETTINGS, SYSTEM, environment};
use crate::tool::file::ground::OWN;

/// The oldest Landlock that protects other people's files from truncation (Linux 6.2).
const NEEDED: ABI = ABI::V3;
/// Calls newer than the table of libc; their numbers are the same on all architectures (Linux 6.13 and 6.17).
const SETXATTRAT: i64 = 463;
const REMOVEXATTRAT: i64 = 466;
const FILE_SETATTR: i64 = 469;
/// Devices that programs expect and that hold nothing.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// A kernel sandbox that works here.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    filter: Arc<BpfProgram>,
    /// The same for those that may reach the network.
    online: Arc<BpfProgram>,
}

impl Kernel {
    /// Checks that the kernel can do it.
    pub(crate) fn new() -> Result<Self, String> {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(NEEDED))
            .and_then(Ruleset::create)
            .map_err(|_| "the kernel has none, or an old one (Linux 6.2 is needed)".to_owned())?;
        let has_filters = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
        if !has_filters {
            return Err("the kernel has no system call filters".into());
        }
        let scoped = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .scope(Scope::Signal)
            .and_then(Ruleset::create)
            .is_ok();
        Ok(Self { filter: Arc::new(filter(scoped, false)?), online: Arc::new(filter(scoped, true)?) })
    }

    /// Adds the way inside to a command.
    #[allow(unsafe_code)]
    pub(crate) fn enter(&self, command: &mut Command, ground: &Ground<'_>) -> Result<(), String> {
        let filter = if ground.network { self.online.clone() } else { self.filter.clone() };
        let mut rules = Some(rules(ground).map_err(|error| format!("shell: Landlock: {error}"))?);
        // SAFETY: runs between fork and exec. Rules and filter were made before; here `restrict_self` and `apply_filter` only
        // make system calls (prctl, landlock_restrict_self, seccomp) on the memory they have, and rustix calls the kernel
        // itself. Nothing allocates or takes a lock; dropping the rules closes a descriptor.
        unsafe {
            command.pre_exec(move || {
                let denied = || std::io::Error::from(rustix::io::Errno::PERM);
                rules.take().ok_or_else(denied)?.restrict_self().map_err(|_| denied())?;
                let none = CapabilitySet::empty();
                let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
                rustix::thread::set_capabilities(None, sets)?;
                seccompiler::apply_filter(&filter).map_err(|_| denied())
            });
        }
        Ok(())
    }
}

/// The ground's command, outside still.
pub(crate) fn command(ground: &Ground<'_>) -> Command {
    let temporary = ground.workdir.join(OWN).join("tmp");
    let mut line = ground.line.iter();
    let mut command = Command::new(line.next().cloned().unwrap_or_default());
    command.args(line).current_dir(&ground.workdir);
    command.env_clear().envs(environment(&ground.workdir, &temporary));
    command.envs(ground.variables.iter().map(|(name, value)| (name, value)));
    command
}

/// What may be done with files, and nothing on the network unless it is granted.
fn rules(ground: &Ground<'_>) -> Result<RulesetCreated, Box<dyn std::error::Error>> {
    let newest = ABI::V6;
    let read = AccessFs::from_read(newest);
    // No devices: the right to make one would be the right to every disk.
    let own = AccessFs::from_all(newest) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?;
    if !ground.network {
        rules = rules.handle_access(AccessNet::from_all(newest))?;
    }
    let mut rules = rules.scope(Scope::from_all(newest))?.create()?;
    let online: &[&str] = if ground.network { &NETWORK_SETTINGS } else { &[] };
    for path in SYSTEM.iter().chain(&SETTINGS).chain(online) {
        if let Ok(fd) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(fd, read))?;
        }
    }
    for path in DEVICES {
        if let Ok(fd) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(fd, AccessFs::ReadFile | AccessFs::WriteFile))?;
        }
    }
    if let Some(input) = ground.input {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(input)?, read))?;
    }
    if let Some(file) = &ground.program {
        rules = rules.add_rule(PathBeneath::new(PathFd::new(file)?, AccessFs::ReadFile | AccessFs::Execute))?;
    }
    Ok(rules.add_rule(PathBeneath::new(PathFd::new(&ground.workdir)?, own))?)
}

/// The filter; `scoped` tells that Landlock keeps signals inside, `online` that the network may be reached.
fn filter(scoped: bool, online: bool) -> Result<BpfProgram, String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let sockets = if online { other_sockets()? } else { Vec::new() };
    for call in denied_calls(scoped) {
        let when = if call == libc::SYS_socket { sockets.clone() } else { Vec::new() };
        // The same calls by the numbers of the x32 interface.
        #[cfg(target_arch = "x86_64")]
        rules.insert(call | 0x4000_0000, when.clone());
        rules.insert(call, when);
    }
    // Limits of other processes; one's own (0) are fine.
    let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(|error| error.to_string())?;
    rules.insert(libc::SYS_prlimit64, vec![other]);
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let denied = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, denied, architecture)
        .and_then(BpfProgram::try_from)
        .map_err(|error| error.to_string())
}

/// All sockets but those of the internet: none of this machine's own services is reached by a path or a name.
fn other_sockets() -> Result<Vec<SeccompRule>, String> {
    let is_not = |family: libc::c_int| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()))
    };
    let both = [is_not(libc::AF_INET), is_not(libc::AF_INET6)].into_iter().collect::<Result<_, _>>();
    let rule = both.and_then(SeccompRule::new).map_err(|error| error.to_string())?;
    Ok(vec![rule])
}

fn denied_calls(scoped: bool) -> impl Iterator<Item = i64> {
    let signals: &[i64] = if scoped { &[] } else { SIGNALS };
    [NETWORK, GROUP, PROCESSES, MOUNTS, RIGHTS, KERNEL, signals].into_iter().flatten().copied()
}

/// The network, unix sockets, and io_uring, which could open them behind the filter's back.
const NETWORK: &[i64] = &[libc::SYS_socket, libc::SYS_io_uring_setup];
/// Leaving the group.
const GROUP: &[i64] = &[libc::SYS_setsid, libc::SYS_setpgid];
/// Other processes.
const PROCESSES: &[i64] =
    &[libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev, libc::SYS_pidfd_getfd, libc::SYS_kcmp];
/// Mounts and namespaces.
const MOUNTS: &[i64] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
];
/// Rights and owners of files, which Landlock leaves to whoever owns them, wherever they are.
const RIGHTS: &[i64] = &[
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SETXATTRAT,
    REMOVEXATTRAT,
    FILE_SETATTR,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
];
/// The kernel itself.
const KERNEL: &[i64] = &[
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_open_by_handle_at,
];
/// Signals, where Landlock does not keep them inside.
const SIGNALS: &[i64] = &[
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
];
