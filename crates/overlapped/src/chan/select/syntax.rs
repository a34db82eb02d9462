//! `select!`: the alternatives of [`Select`](super::Select) with bodies in place of closures.

/// Waits for one of several alternatives and runs its body: [`Select`](crate::Select) in the syntax
/// of crossbeam's `select!`. Its value is a `Result<R, WaitError>`, where `R` is the type of the
/// bodies.
///
/// | alternative | bound to the pattern |
/// |---|---|
/// | `recv(channel) -> pattern => body` | `Result<T, RecvError>` |
/// | `send(channel, option) -> pattern => body` | `Result<(), SendError<T>>` |
/// | `join(option) -> pattern => body` | `Result<T, JoinError>` |
/// | `readable(fd) -> pattern => body`, `writable(…)` | `io::Result<()>` |
/// | `after(duration) => body`, `at(instant) => body` | |
/// | `default => body`, the last one | run if nothing can happen now |
///
/// The bodies are outside of any closure: `?`, `break` and `return` work in them, and they may all
/// use the same variables. `option` is a variable that holds `Some` value to send, or `Some` handle
/// to join, until it has happened; with `None` the alternative takes no part. `biased;` at the
/// beginning is [`Select::biased`](crate::Select::biased).
///
/// ```
/// use overlapped::{run, select, spawn, Channel, time::Duration};
/// run(|| {
///     let (numbers, sums) = (Channel::new(), Channel::new());
///     let (input, output) = (numbers.clone(), sums.clone());
///     let mut adder = Some(spawn(move || {
///         let (mut sum, mut pending) = (0, None);
///         loop {
///             select! {
///                 recv(input) -> number => match number {
///                     Ok(number) => {
///                         sum += number;
///                         pending = Some(sum);
///                     }
///                     Err(_) => break sum,
///                 },
///                 send(output, pending) -> sent => sent.unwrap(),
///             }
///             .unwrap();
///         }
///     }));
///     for number in 1..=4 {
///         numbers.send(number).unwrap();
///     }
///     assert_eq!(sums.recv(), Ok(10));
///     assert!(select! { recv(sums) -> _ => false, default => true }.unwrap());
///     numbers.close();
///     let sum = select! {
///         join(adder) -> sum => sum.unwrap(),
///         after(Duration::from_secs(60)) => panic!("it ends when its input does"),
///     };
///     assert_eq!(sum, Ok(10));
/// }).unwrap();
/// ```
#[macro_export]
macro_rules! select {
    (biased; $($arms:tt)+) => {
        $crate::__select!(@arms ($crate::Select::new().biased()) [] $($arms)+)
    };
    ($($arms:tt)+) => {
        $crate::__select!(@arms ($crate::Select::new()) [] $($arms)+)
    };
}

/// The implementation of `select!`. An alternative becomes `{ slot (kind (arguments) (pattern))
/// (body) }` with a variable of its own for `slot`: the wait fills the slot of the one that
/// happened.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // One alternative after another: its head …
    (@arms $how:tt $arms:tt) => {
        $crate::__select!(@wait $how wait $arms)
    };
    (@arms $how:tt $arms:tt default => $body:expr $(,)?) => {
        $crate::__select!(@wait $how try_wait $arms {
            ::core::result::Result::Err($crate::task::WaitError::WouldBlock) => {
                let value = $body;
                #[allow(unreachable_code)]
                let value = ::core::result::Result::Ok(value);
                value
            }
        })
    };
    (@arms $how:tt $arms:tt $kind:ident $args:tt -> $p:pat => $($rest:tt)+) => {
        $crate::__select!(@body $how $arms ($kind $args ($p)) $($rest)+)
    };
    (@arms $how:tt $arms:tt $kind:ident $args:tt => $($rest:tt)+) => {
        $crate::__select!(@body $how $arms ($kind $args (_)) $($rest)+)
    };
    // … and its body.
    (@body $how:tt [$($arms:tt)*] $head:tt $body:block, $($rest:tt)*) => {
        $crate::__select!(@arms $how [$($arms)* { slot $head ($body) }] $($rest)*)
    };
    (@body $how:tt [$($arms:tt)*] $head:tt $body:block $($rest:tt)*) => {
        $crate::__select!(@arms $how [$($arms)* { slot $head ($body) }] $($rest)*)
    };
    (@body $how:tt [$($arms:tt)*] $head:tt $body:expr, $($rest:tt)*) => {
        $crate::__select!(@arms $how [$($arms)* { slot $head ($body) }] $($rest)*)
    };
    (@body $how:tt [$($arms:tt)*] $head:tt $body:expr) => {
        $crate::__select!(@arms $how [$($arms)* { slot $head ($body) }])
    };
    // The list of alternatives is complete.
    (@wait $how:tt $wait:ident [$({
        $slot:ident ($kind:ident $args:tt $p:tt) $body:tt
    })*] $({ $($default:tt)* })?) => {{
        $(let mut $slot = ::core::option::Option::None;)*
        let ended = $crate::__select!(@chain $how $({ $slot $kind $args })*).$wait();
        match ended {
            ::core::result::Result::Ok(()) => {
                let value = $crate::__select!(@pick $({ $slot $p $body })*);
                // If every body breaks or returns, this is unreachable.
                #[allow(unreachable_code)]
                let value = ::core::result::Result::Ok(value);
                value
            }
            $($($default)*)?
            ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
        }
    }};
    // The builder's calls.
    (@chain ($chain:expr)) => { $chain };
    (@chain ($chain:expr) { $slot:ident recv ($channel:expr) } $($rest:tt)*) => {
        $crate::__select!(@chain ($chain.recv(&$channel, |it| $slot = Some(it))) $($rest)*)
    };
    (@chain ($chain:expr) { $slot:ident send ($channel:expr, $value:expr) } $($rest:tt)*) => {
        $crate::__select!(
            @chain ($chain.send(&$channel, &mut $value, |it| $slot = Some(it))) $($rest)*
        )
    };
    (@chain ($chain:expr) { $slot:ident join ($handle:expr) } $($rest:tt)*) => {
        $crate::__select!(@chain ($chain.join(&mut $handle, |it| $slot = Some(it))) $($rest)*)
    };
    (@chain ($chain:expr) { $slot:ident readable ($fd:expr) } $($rest:tt)*) => {
        $crate::__select!(@chain ($chain.readable(&$fd, |it| $slot = Some(it))) $($rest)*)
    };
    (@chain ($chain:expr) { $slot:ident writable ($fd:expr) } $($rest:tt)*) => {
        $crate::__select!(@chain ($chain.writable(&$fd, |it| $slot = Some(it))) $($rest)*)
    };
    (@chain ($chain:expr) { $slot:ident after ($duration:expr) } $($rest:tt)*) => {
        $crate::__select!(@chain ($chain.after($duration, || $slot = Some(()))) $($rest)*)
    };
    (@chain ($chain:expr) { $slot:ident at ($instant:expr) } $($rest:tt)*) => {
        $crate::__select!(@chain ($chain.at($instant, || $slot = Some(()))) $($rest)*)
    };
    (@chain $chain:tt { $slot:ident $kind:ident $args:tt } $($rest:tt)*) => {
        ::core::compile_error!(concat!(
            "select!: no such alternative: `", stringify!($kind), stringify!($args),
            "`; there are recv(channel), send(channel, option), join(option), readable(fd), \
             writable(fd), after(duration), at(instant), and default at the end",
        ))
    };
    // The body of the one that happened.
    (@pick) => {
        ::core::unreachable!("one alternative has happened")
    };
    (@pick { $slot:ident ($p:pat) ($body:expr) } $($rest:tt)*) => {
        match $slot {
            ::core::option::Option::Some(it) => {
                let $p = it;
                $body
            }
            ::core::option::Option::None => $crate::__select!(@pick $($rest)*),
        }
    };
}
