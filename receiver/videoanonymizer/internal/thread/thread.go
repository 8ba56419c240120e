// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package thread runs functions on operating system threads of their own, for attributes that belong to a thread and
// cannot be restored, such as dropped privileges.
package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Go calls run in a goroutine, on a thread that ends with it. The first thread of a process would not end, so it is
// held until the goroutine has another one.
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
