// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package thread gives functions threads of the operating system of their own, for attributes that belong to a thread
// and cannot be given back, such as fewer rights.
package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Go calls a function, in a goroutine, on a thread that ends after it. The first thread of a process would not end: it
// is held while another one is found.
func Go(run func()) { go onPassing(run) }

func onPassing(run func()) {
	runtime.LockOSThread() // and never unlocked, which ends the thread with the goroutine
	if unix.Gettid() != unix.Getpid() {
		run()
		return
	}
	other := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(other)
		run()
	}()
	<-other
	runtime.UnlockOSThread()
}
