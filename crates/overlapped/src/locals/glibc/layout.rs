//! Places of the fields of glibc's blocks, and its functions for them.
//!
//! ```text
//!   x86-64:  [ thread-locals … ][ descriptor (struct pthread) ][ where free() begins ]
//!                               ▲ thread pointer = pthread_self
//!   Arm:     [ free() ][ descriptor ][ 16 bytes ][ thread-locals … ]
//!                      ▲ pthread_self ▲ thread pointer
//! ```
//!
//! The symbols are those that glibc exports to its own parts and to debuggers (`GLIBC_PRIVATE`;
//! `_thread_db_…` for libthread_db). A later release may lack some of them, so all are looked up by
//! name, and their values are compared with the calling thread's.

use std::ffi::{CStr, c_void};
use std::mem::{MaybeUninit, transmute};
use std::ptr::null_mut;

use super::pointer;

/// The number of pthread_setspecific's values in one table. The first table lies in the descriptor.
pub(super) const KEYS_IN_TABLE: usize = 32;
/// The maximum size of libc's own thread-locals, in bytes.
pub(super) const LIBC_MAX: usize = 1024;
/// The header's first words on x86-64: block, dtv, descriptor; then what is copied.
#[cfg(target_arch = "x86_64")]
pub(super) const COPIED: [std::ops::Range<usize>; 2] = [
    32..56, // sysinfo, the stack protector's and the pointer guard's random words
    72..80, // feature_1: what the program has been built with (CET)
];

/// One entry of the dtv: the address of a module's thread-locals. The entry before the first holds
/// the number of entries.
#[repr(C)]
pub(super) struct DtvEntry {
    pub(super) place: usize,
    /// The memory to free, if the module was opened later.
    pub(super) to_free: *mut c_void,
}

/// One value of pthread_setspecific.
#[repr(C)]
pub(super) struct Value {
    /// The generation of the value's key, since the numbers of deleted keys are used again.
    pub(super) sequence: usize,
    pub(super) data: *mut c_void,
}

/// One key.
#[repr(C)]
pub(super) struct Key {
    pub(super) sequence: usize,
    pub(super) destructor: Option<unsafe extern "C" fn(*mut c_void)>,
}

type Symbol = *mut c_void;
type Allocate = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type Initialise = unsafe extern "C" fn(*mut c_void, bool) -> *mut c_void;
type Deallocate = unsafe extern "C" fn(*mut c_void, bool);
type Plain = unsafe extern "C" fn();

/// glibc, as far as blocks are concerned. Offsets are from the descriptor unless said.
pub(super) struct Layout {
    pub(super) allocate: Allocate,
    /// The second argument is new in 2.35; older releases ignore it.
    pub(super) initialise: Initialise,
    pub(super) deallocate: Deallocate,
    /// Runs the destructors of thread-locals, of Rust's and of C++'s.
    pub(super) run_destructors: Plain,
    pub(super) initialise_ctype: Plain,
    pub(super) keys: *const Key,
    pub(super) descriptor_len: usize,
    pub(super) tid: usize,
    /// The links of the list of threads.
    pub(super) list: usize,
    /// Tables of [`Value`]s; the first table lies right before this field.
    pub(super) specific: usize,
    pub(super) robust_head: usize,
    /// The stack's lowest address, then its size.
    pub(super) stack: usize,
    /// The state of getaddrinfo.
    pub(super) resolver: usize,
    /// From the thread pointer: the pointer to getaddrinfo's state.
    pub(super) resolver_pointer: isize,
    /// From the thread pointer: the area to which the kernel writes the processor's number.
    pub(super) rseq: Option<isize>,
    /// From the thread pointer: libc's own thread-locals, and their size.
    pub(super) libc: (isize, usize),
    /// From the thread pointer: all thread-locals with a fixed place, and their size.
    pub(super) fixed: (isize, usize),
    pub(super) align: usize,
}

// SAFETY: addresses of functions and of a table of libc's, which stay as long as the process.
unsafe impl Send for Layout {}
// SAFETY: as above; nothing is written through it.
unsafe impl Sync for Layout {}

/// The offset from the thread pointer to the address of the dtv.
#[cfg(target_arch = "x86_64")]
pub(super) const DTV: usize = 8;
#[cfg(target_arch = "aarch64")]
pub(super) const DTV: usize = 0;

impl Layout {
    /// Returns the descriptor of the block with this thread pointer.
    pub(super) fn descriptor(&self, pointer: usize) -> usize {
        if cfg!(target_arch = "x86_64") { pointer } else { pointer - self.descriptor_len }
    }

    /// Finds the layout from the calling thread, which must be on its own block, and from a second
    /// thread.
    pub(super) fn find() -> Result<Layout, String> {
        if symbol(c"__asan_init").or(symbol(c"__tsan_init")).or(symbol(c"__msan_init")).is_ok() {
            return Err("a sanitizer knows threads by their blocks".to_owned());
        }
        let (descriptor_len, specific, tid) = (
            number(c"_thread_db_sizeof_pthread")?,
            field(c"_thread_db_pthread_specific")?,
            field(c"_thread_db_pthread_tid")?,
        );
        let shown = shown_by_a_thread(descriptor_len)?;
        let (mut fixed_len, mut align) = (0, 0);
        // SAFETY: the function has had this type since 2.26. It writes the two numbers.
        unsafe {
            let ask: unsafe extern "C" fn(*mut usize, *mut usize) =
                transmute(symbol(c"_dl_get_tls_static_info")?);
            ask(&mut fixed_len, &mut align);
        }
        let fixed = if cfg!(target_arch = "x86_64") {
            let len = fixed_len.checked_sub(descriptor_len).ok_or("the block is too small")?;
            (-(len as isize), len)
        } else {
            (16, fixed_len.checked_sub(16).ok_or("the block is too small")?)
        };
        // SAFETY: the functions have had these types since 2.26, but for `initialise`, see there.
        let layout = unsafe {
            Layout {
                allocate: transmute::<Symbol, Allocate>(symbol(c"_dl_allocate_tls")?),
                initialise: transmute::<Symbol, Initialise>(symbol(c"_dl_allocate_tls_init")?),
                deallocate: transmute::<Symbol, Deallocate>(symbol(c"_dl_deallocate_tls")?),
                run_destructors: transmute::<Symbol, Plain>(symbol(c"__call_tls_dtors")?),
                initialise_ctype: transmute::<Symbol, Plain>(symbol(c"__ctype_init")?),
                keys: symbol(c"__pthread_keys")?.cast(),
                descriptor_len,
                tid,
                list: field(c"_thread_db_pthread_list")?,
                specific,
                robust_head: shown.robust_head,
                stack: shown.stack,
                resolver: shown.resolver,
                resolver_pointer: resolver_pointer()?,
                rseq: rseq(),
                libc: libc_locals()?,
                fixed,
                align,
            }
        };
        layout.compare_with_this_thread()?;
        Ok(layout)
    }

    /// Compares the layout with the calling thread's block.
    fn compare_with_this_thread(&self) -> Result<(), String> {
        let pointer = pointer::read();
        let me = self.descriptor(pointer);
        // SAFETY: these calls only read, and gettid has no conditions.
        let (myself, tid) = unsafe { (libc::pthread_self() as usize, libc::gettid()) };
        // SAFETY: fields of this thread's descriptor, by what glibc says of it.
        let (noted, table) =
            unsafe { (*((me + self.tid) as *const i32), *((me + self.specific) as *const usize)) };
        let key_len = number(c"_thread_db_sizeof_pthread_key_struct")?;
        let value_len = number(c"_thread_db_sizeof_pthread_key_data")?;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the read is in the header of this thread's block.
        let header = unsafe { [*(pointer as *const usize), *((pointer + 16) as *const usize)] };
        #[cfg(target_arch = "aarch64")]
        let header = [pointer; 2];
        let checks = [
            (myself == me, "pthread_self is not in the block"),
            (header == [pointer; 2], "the block does not begin with its address"),
            (noted == tid, "the thread's number is not in its descriptor"),
            (key_len == size_of::<Key>(), "keys have another size"),
            (value_len == size_of::<Value>(), "values have another size"),
            (field(c"_thread_db_pthread_key_struct_destr")? == 8, "keys look different"),
            (field(c"_thread_db_pthread_key_data_data")? == 8, "values look different"),
            (number(c"_thread_db_sizeof_list_t")? == 16, "lists look different"),
            (self.specific >= self.first_table_len(), "values are elsewhere"),
            (table == me + self.specific - self.first_table_len(), "values are elsewhere"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(format!("this glibc is not as expected: {what}")),
            None => Ok(()),
        }
    }

    /// Bytes of the first table of values.
    pub(super) fn first_table_len(&self) -> usize {
        KEYS_IN_TABLE * size_of::<Value>()
    }
}

/// Returns a symbol of libc's.
fn symbol(name: &CStr) -> Result<Symbol, String> {
    // SAFETY: a string that ends with 0, and the pseudo-handle of all that the program has loaded.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if found.is_null() {
        return Err(format!(
            "this libc has no symbol {}; glibc has it since 2.34",
            name.to_string_lossy()
        ));
    }
    Ok(found)
}

/// Returns a size that glibc publishes for debuggers.
fn number(name: &CStr) -> Result<usize, String> {
    // SAFETY: these symbols are 32-bit constants.
    Ok(unsafe { *symbol(name)?.cast::<u32>() } as usize)
}

/// Returns the offset of a field. glibc publishes it for debuggers: bits, count, offset.
fn field(name: &CStr) -> Result<usize, String> {
    // SAFETY: these symbols are three 32-bit constants.
    Ok(unsafe { *symbol(name)?.cast::<[u32; 3]>() }[2] as usize)
}

/// Finds the pointer to the state of getaddrinfo, from the thread pointer.
fn resolver_pointer() -> Result<isize, String> {
    // The symbol is a thread-local: its address is the calling thread's.
    let place = symbol(c"__resp")? as usize;
    // SAFETY: it is a pointer, and `__res_state` is the function that reads it.
    let (noted, told) = unsafe {
        let ask: unsafe extern "C" fn() -> usize = transmute(symbol(c"__res_state")?);
        (*(place as *const usize), ask())
    };
    if noted != told {
        return Err("this glibc is not as expected: the resolver's state is elsewhere".to_owned());
    }
    Ok(place.wrapping_sub(pointer::read()) as isize)
}

/// Returns the area of rseq(2), if libc has one.
fn rseq() -> Option<isize> {
    let (place, len) = (symbol(c"__rseq_offset").ok()?, symbol(c"__rseq_size").ok()?);
    // SAFETY: by <sys/rseq.h> these are a ptrdiff_t and an unsigned int.
    let (offset, _) = unsafe { (*place.cast::<isize>(), *len.cast::<u32>()) };
    (offset != 0).then_some(offset)
}

/// Returns the offset of libc's own thread-locals from the thread pointer, and their size.
fn libc_locals() -> Result<(isize, usize), String> {
    struct Search {
        function: usize,
        found: Option<(usize, usize)>,
    }
    /// # Safety
    /// As dl_iterate_phdr calls it with a `Search`.
    unsafe extern "C" fn look(
        info: *mut libc::dl_phdr_info,
        _: usize,
        search: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: the loader's, for the time of the call; the search is the caller's.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
        // SAFETY: the loader says that this many headers are there.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let has_function = headers.iter().any(|header| {
            let start = (info.dlpi_addr + header.p_vaddr) as usize;
            header.p_type == libc::PT_LOAD
                && (start..start + header.p_memsz as usize).contains(&search.function)
        });
        if has_function {
            let locals = headers.iter().find(|header| header.p_type == libc::PT_TLS);
            let len = locals.map_or(0, |header| header.p_memsz as usize);
            search.found = Some((info.dlpi_tls_data as usize, len));
        }
        has_function.into()
    }
    let mut search = Search { function: symbol(c"__call_tls_dtors")? as usize, found: None };
    // SAFETY: `look` expects a `Search`, which it is given here.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    // SAFETY: no conditions.
    let errno = unsafe { libc::__errno_location() } as usize;
    match search.found {
        Some((place, len)) if (place..place + len).contains(&errno) && len <= LIBC_MAX => {
            Ok((place.wrapping_sub(pointer::read()) as isize, len))
        }
        _ => Err("this glibc is not as expected: errno is elsewhere".to_owned()),
    }
}

/// Offsets that a thread has found in its own descriptor. It knows its stack's place and size.
struct Shown {
    descriptor_len: usize,
    memory: usize,
    stack: usize,
    resolver: usize,
    robust_head: usize,
}

/// The size of that stack, a number that no other field holds.
const STACK: usize = 0x5_3000;

fn shown_by_a_thread(descriptor_len: usize) -> Result<Shown, String> {
    let (rights, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let mut shown = Shown { descriptor_len, memory: 0, stack: 0, resolver: 0, robust_head: 0 };
    // SAFETY: a new mapping, which is the thread's stack until it has been joined. The thread gets
    // `shown`, which no other code uses meanwhile.
    let error = unsafe {
        let memory = libc::mmap(null_mut(), STACK, rights, flags, -1, 0);
        if memory == libc::MAP_FAILED {
            return Err("no memory for a thread's stack".to_owned());
        }
        shown.memory = memory as usize;
        let mut attributes = MaybeUninit::uninit();
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstack(attributes.as_mut_ptr(), memory, STACK);
        let mut thread = 0;
        let place = (&raw mut shown).cast();
        let error = libc::pthread_create(&mut thread, attributes.as_ptr(), show, place);
        if error == 0 {
            libc::pthread_join(thread, null_mut());
        }
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        libc::munmap(memory, STACK);
        error
    };
    if error != 0 {
        return Err("no thread can be started to find the fields of".to_owned());
    }
    let word = size_of::<usize>();
    let is_inside = |offset: usize, len| {
        offset != 0 && offset.checked_add(len).is_some_and(|end| end <= descriptor_len)
    };
    let fits = is_inside(shown.stack, 2 * word)
        && is_inside(shown.resolver, word)
        && is_inside(shown.robust_head, 3 * word);
    if fits { Ok(shown) } else { Err("this glibc's threads are not as expected".to_owned()) }
}

/// The main function of that thread.
extern "C" fn show(shown: *mut c_void) -> *mut c_void {
    // SAFETY: `shown` is the creator's, which waits.
    let shown = unsafe { &mut *shown.cast::<Shown>() };
    // SAFETY: no conditions.
    let me = unsafe { libc::pthread_self() } as usize;
    let words = shown.descriptor_len / size_of::<usize>();
    // SAFETY: the words are those of this thread's descriptor, which has that size.
    let words = unsafe { std::slice::from_raw_parts(me as *const usize, words) };
    let mut pairs =
        words.windows(2).enumerate().filter(|(_, pair)| **pair == [shown.memory, STACK]);
    if let (Some((at, _)), None) = (pairs.next(), pairs.next()) {
        shown.stack = at * size_of::<usize>();
    }
    if let Ok(ask) = symbol(c"__res_state") {
        // SAFETY: the function takes nothing and returns a pointer.
        let state = unsafe { transmute::<*mut c_void, extern "C" fn() -> usize>(ask) }();
        shown.resolver = state.wrapping_sub(me);
    }
    shown.robust_head = robust_head(words, me).unwrap_or(0);
    null_mut()
}

/// Returns the offset of the head of a thread's list of robust mutexes in its descriptor. The list
/// is empty, so the word before the head and the head's first word point to the head. The next two
/// words are the offset of a mutex's lock, and zero.
fn robust_head(words: &[usize], me: usize) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    let mut heads = words.windows(4).enumerate().filter_map(|(at, words)| {
        let offset = (at + 1) * WORD;
        let lock = words[2].wrapping_neg();
        let fits = words[..2] == [me + offset; 2] && (1..64).contains(&lock) && words[3] == 0;
        fits.then_some(offset)
    });
    let found = heads.next().filter(|_| heads.next().is_none())?;
    let (mut told, mut len) = (0_usize, 0_usize);
    // SAFETY: get_robust_list(2) writes both.
    let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut told, &raw mut len) };
    // Emulators do not have the call.
    (asked != 0 || (told == me + found && len == 3 * WORD)).then_some(found)
}
