//! The functions of libc that this crate replaces, by name.

use std::ffi::{CStr, CString};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::hooks;

macro_rules! symbols {
    ($($name:ident)*) => {
        /// A function of libc.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Symbol { $($name),* }

        impl Symbol {
            /// All of them.
            pub(crate) const ALL: &[Symbol] = &[$(Symbol::$name),*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Symbol::$name => stringify!($name)),* }
            }

            /// Returns the address of this crate's function; in a shared library, of the first
            /// function of that name in the process, which may be another object's.
            fn ours(self) -> usize {
                match self { $(Symbol::$name => hooks::$name as *const () as usize),* }
            }
        }
    };
}

symbols! {
    recv __recv_chk recvfrom __recvfrom_chk recvmsg recvmmsg send sendto sendmsg sendmmsg
    connect accept4 accept
    read __read_chk readv write writev
    pread preadv pread64 preadv64 pwrite pwritev pwrite64 pwritev64 __pread_chk __pread64_chk
    fsync fdatasync ftruncate ftruncate64
    flock fcntl fcntl64 open openat open64 openat64 sendfile sendfile64 splice tee
    poll __poll_chk ppoll __ppoll_chk select pselect epoll_wait epoll_pwait
    clock_nanosleep nanosleep usleep sleep sched_yield
    waitpid wait wait3 wait4 waitid system pclose
    getaddrinfo getnameinfo gethostbyname gethostbyname2 gethostbyaddr
    gethostbyname_r gethostbyname2_r gethostbyaddr_r
    mq_send mq_timedsend mq_receive mq_timedreceive
    sigaction __sigaction signal bsd_signal ssignal sysv_signal __sysv_signal sigset siginterrupt
    longjmp _longjmp siglongjmp __longjmp_chk
    pause sigpause __sigpause __xpg_sigpause sigsuspend sigwait sigwaitinfo sigtimedwait
    fread __fread_chk fgets __fgets_chk getdelim __getdelim getline fgetc getc _IO_getc getchar
    flockfile ftrylockfile funlockfile
    pthread_mutex_lock pthread_mutex_trylock pthread_mutex_timedlock pthread_mutex_clocklock
    pthread_mutex_unlock pthread_mutex_consistent
    pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait pthread_cond_signal
    pthread_cond_broadcast
    pthread_rwlock_rdlock pthread_rwlock_timedrdlock pthread_rwlock_clockrdlock
    pthread_rwlock_wrlock pthread_rwlock_timedwrlock pthread_rwlock_clockwrlock
    pthread_rwlock_unlock pthread_rwlock_tryrdlock pthread_rwlock_trywrlock
    sem_wait sem_timedwait sem_clockwait sem_post
    pthread_join pthread_timedjoin_np pthread_barrier_wait
    pthread_once call_once pthread_spin_lock
    mtx_lock mtx_timedlock mtx_trylock mtx_unlock cnd_wait cnd_timedwait cnd_signal cnd_broadcast
    thrd_join thrd_sleep thrd_yield
    syscall
}

type Counts = [AtomicU64; Symbol::ALL.len()];
static WAITS: Counts = [const { AtomicU64::new(0) }; Symbol::ALL.len()];
static COULD_NOT_WAIT: Counts = [const { AtomicU64::new(0) }; Symbol::ALL.len()];

impl Symbol {
    /// Counts a wait.
    pub(crate) fn count(self) {
        WAITS[self as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn waits(self) -> u64 {
        WAITS[self as usize].load(Relaxed)
    }

    /// Counts a call by a tasklet that could not wait: it blocks the thread if it waits.
    pub(crate) fn count_unable(self) {
        COULD_NOT_WAIT[self as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn could_not_wait(self) -> u64 {
        COULD_NOT_WAIT[self as usize].load(Relaxed)
    }

    /// Tells whether the whole process finds this crate's function by that name.
    pub(crate) fn is_ours(self) -> bool {
        let found = self.found();
        let object = object_of(found);
        found == self.ours() && object.is_some() && object == object_of((&raw const WAITS).addr())
    }

    /// Returns the address of the function that the process finds by that name, or 0.
    pub(crate) fn found(self) -> usize {
        let Ok(name) = CString::new(self.name()) else { return 0 };
        found(libc::RTLD_DEFAULT, &name)
    }
}

/// Returns the base address of the object, program or library, that an address is in.
fn object_of(address: usize) -> Option<usize> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr searches a list of objects for the address, and writes to the place; zeros are
    // a valid value.
    let (outcome, info) = unsafe {
        let address = std::ptr::without_provenance(address);
        (libc::dladdr(address, info.as_mut_ptr()), info.assume_init())
    };
    (outcome != 0).then(|| info.dli_fbase.addr())
}

/// Returns the address of a symbol, or 0.
fn found(handle: *mut libc::c_void, name: &CStr) -> usize {
    // SAFETY: the name ends in a zero; this crate passes the special handles only.
    unsafe { libc::dlsym(handle, name.as_ptr()) }.addr()
}
