//! The functions of libc that this crate replaces: their names, and how often each has waited.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Calls a macro with the names of all of them.
macro_rules! with_symbols {
    ($then:ident) => {
        $then! {
            recv __recv_chk recvfrom __recvfrom_chk recvmsg recvmmsg send sendto sendmsg sendmmsg
            connect accept4 accept
            read __read_chk readv write writev
            pread preadv pread64 preadv64 pwrite pwritev pwrite64 pwritev64 __pread_chk
            __pread64_chk
            fsync fdatasync ftruncate ftruncate64
            flock fcntl fcntl64 open openat open64 openat64 sendfile sendfile64 splice tee
            poll __poll_chk ppoll __ppoll_chk select pselect epoll_wait epoll_pwait
            clock_nanosleep nanosleep usleep sleep sched_yield
            waitpid wait wait3 wait4 waitid system pclose
            getaddrinfo getnameinfo gethostbyname gethostbyname2 gethostbyaddr
            gethostbyname_r gethostbyname2_r gethostbyaddr_r
            mq_send mq_timedsend mq_receive mq_timedreceive
            sigaction __sigaction signal bsd_signal ssignal sysv_signal __sysv_signal sigset
            siginterrupt
            longjmp _longjmp siglongjmp __longjmp_chk
            pause sigpause __sigpause __xpg_sigpause sigsuspend sigwait sigwaitinfo sigtimedwait
            fread __fread_chk fgets __fgets_chk getdelim __getdelim getline fgetc getc _IO_getc
            getchar
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
            mtx_lock mtx_timedlock mtx_trylock mtx_unlock cnd_wait cnd_timedwait cnd_signal
            cnd_broadcast
            thrd_join thrd_sleep thrd_yield
            syscall
        }
    };
}
pub(crate) use with_symbols;

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
        }
    };
}

with_symbols!(symbols);

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
}
