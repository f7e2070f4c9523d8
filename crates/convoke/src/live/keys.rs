//! Keys, one by one, while a live view is drawn: the terminal neither waits for a line nor shows what is typed. Ctrl-C stays
//! what it is. However the program ends, the terminal is as it was: see [`restore`].

#[cfg(unix)]
pub use unix::{Keys, restore};

#[cfg(unix)]
mod unix {
    use std::io::{IsTerminal, Read};
    use std::sync::{Mutex, PoisonError};

    use rustix::process::getpgrp;
    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr};
    use tokio::sync::mpsc;

    /// Keys that may wait to be looked at; a reader that is slow holds the rest back.
    const WAITING: usize = 1_024;

    /// How the terminal was.
    static WAS: Mutex<Option<Termios>> = Mutex::new(None);

    /// The keys that are typed from now on.
    pub struct Keys(mpsc::Receiver<u8>);

    impl Keys {
        /// Nothing where no person sits at the input, or another program has the terminal.
        pub fn open() -> Option<Self> {
            let input = std::io::stdin();
            if !input.is_terminal() || tcgetpgrp(&input).ok()? != getpgrp() {
                return None;
            }
            let was = tcgetattr(&input).ok()?;
            let mut raw = was.clone();
            raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            raw.special_codes[SpecialCodeIndex::VMIN] = 1;
            raw.special_codes[SpecialCodeIndex::VTIME] = 0;
            // What was typed before there was a question answers none.
            tcsetattr(&input, OptionalActions::Flush, &raw).ok()?;
            *WAS.lock().unwrap_or_else(PoisonError::into_inner) = Some(was);
            let (send, received) = mpsc::channel(WAITING);
            // It ends with the program: there is no way to call a reader of the terminal back.
            std::thread::Builder::new().name("keys".to_owned()).spawn(move || read(&send)).ok()?;
            Some(Self(received))
        }

        /// The next key; never where there is no terminal any more.
        pub async fn next(keys: &mut Option<Self>) -> u8 {
            match keys {
                Some(Self(received)) => match received.recv().await {
                    Some(key) => key,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        }
    }

    fn read(send: &mpsc::Sender<u8>) {
        let mut bytes = [0_u8; 64];
        while let Ok(count) = std::io::stdin().lock().read(&mut bytes) {
            if count == 0 || bytes[..count].iter().any(|byte| send.blocking_send(*byte).is_err()) {
                return;
            }
        }
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            restore();
        }
    }

    /// Puts the terminal back as it was. May be called from anywhere, any number of times.
    pub fn restore() {
        if let Some(was) = WAS.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &was);
        }
    }
}

#[cfg(not(unix))]
pub use elsewhere::{Keys, restore};

#[cfg(not(unix))]
mod elsewhere {
    /// None: this system's terminals are not read key by key here.
    pub struct Keys;

    impl Keys {
        /// Nothing.
        pub fn open() -> Option<Self> {
            None
        }

        /// Never.
        pub async fn next(_: &mut Option<Self>) -> u8 {
            std::future::pending().await
        }
    }

    /// Nothing to do.
    pub fn restore() {}
}
