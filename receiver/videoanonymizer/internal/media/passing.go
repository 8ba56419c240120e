// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

// passing are parts of error messages, mostly from the C library, about errors that no content of a file causes.
// "Input/output error" is not among them: demuxers also report it for files that end too early. A file may cause a lack
// of memory; it counts as passing since any large video can run into it.
var passing = []struct {
	says  string
	cause error
}{
	{"Stale file handle", ErrIO},
	{"Connection timed out", ErrIO},
	{"Connection reset by peer", ErrIO},
	{"Connection refused", ErrIO},
	{"connection abort", ErrIO},
	{"Network is down", ErrIO},
	{"Network is unreachable", ErrIO},
	{"Network dropped connection", ErrIO},
	{"Host is down", ErrIO},
	{"No route to host", ErrIO},
	{"Transport endpoint is not connected", ErrIO}, // a FUSE file system whose daemon ended
	{"Remote I/O error", ErrIO},
	{"Communication error on send", ErrIO},
	{"Link has been severed", ErrIO},
	{"No such device", ErrIO},
	{"No medium found", ErrIO},
	{"Structure needs cleaning", ErrIO},
	{"Key has expired", ErrIO},
	{"Required key not available", ErrIO},
	{"Interrupted system call", ErrIO},
	{"Permission denied", ErrUnreadable},
	{"Cannot allocate memory", ErrTool},
	{"Could not allocate memory", ErrTool}, // this and the next three are ffmpeg's own
	{"Failed to allocate", ErrTool},
	{"get_buffer() failed", ErrTool},
	{"is out of memory", ErrTool},
	{"Resource temporarily unavailable", ErrTool},
	{"Too many open files", ErrTool},
	{"error while loading shared libraries", ErrTool},
}

// rawFaults are parts of ffmpeg's messages if it cannot write raw frames, whatever the file.
var rawFaults = []string{"get_encode_buffer() failed", "encoder_init failed", "Error initializing output stream",
	"Error while opening encoder", "to the encoder"}

// passingComplaint returns the cause of a complaint that no content of a file explains, or nil.
func passingComplaint(text string) error {
	for _, p := range passing {
		if strings.Contains(text, p.says) {
			return p.cause
		}
	}
	return nil
}

const (
	// notExecuted and notFound are the exit statuses of a shell, and of the loader, if a program does not run.
	notExecuted, notFound = 126, 127
	// signaled is what a shell adds to the number of the signal that ended its child.
	signaled = 128
	// caught is the exit status of ffmpeg if a signal ended it.
	caught = 255
)

// crashes are the signals of a program that crashes, maybe because of a file.
var crashes = []syscall.Signal{syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL,
	syscall.SIGSYS, syscall.SIGTRAP}

// passingFault returns the cause, ErrInterrupted, ErrIO, ErrUnreadable or ErrTool, if a child failed for a reason other
// than the file, judging by how it exited and what it complained about. Otherwise it returns nil.
func passingFault(complaint string, err error) error {
	var exit *exec.ExitError
	switch {
	case errors.Is(err, ErrTool), errors.Is(err, ErrStalled), errors.As(err, new(syscall.Errno)): // no exit
		return ErrTool
	case !errors.As(err, &exit):
		return passingComplaint(complaint)
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	signal, code := status.Signal(), status.ExitStatus() // each is -1 if the other is set
	if code > signaled && code <= signaled+int(syscall.SIGSYS) {
		signal = syscall.Signal(code - signaled)
	}
	switch {
	case slices.Contains(crashes, signal), code == notExecuted, code == notFound:
		return ErrTool
	case signal > 0, code == caught:
		return ErrInterrupted
	}
	return passingComplaint(complaint)
}

// ConfirmDamage returns nil if a file itself is to blame for its damage: all of it can be read, and decoding it fails
// again. Otherwise it fails with ErrIO, or with another cause that is not the file. If an output with the given number
// of frames is to be published, it decodes the whole file, and also fails if there are more frames. A negative number
// means that there is no output.
func (t Tools) ConfirmDamage(ctx context.Context, info Info, opts ReadOptions, frames int) error {
	f, err := info.openAgain()
	if err != nil {
		return err
	}
	if err := readWhole(ctx, f, info.Path, info.id); err != nil {
		return err
	}
	opts.Salvage, opts.from, opts.around = true, 0, nil // what follows the first complaint may name its cause
	r, err := t.Open(ctx, info, opts)
	if err != nil {
		return err
	}
	defer r.Close()
	for left := confirming; frames >= 0 || left > 0; {
		frame, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if Permanent(err) { // nothing can be decoded
			return nil
		}
		if err != nil {
			return err
		}
		frame.Release()
		if frames >= 0 && r.index > frames {
			return fileError(info.Path, ErrIO, "%d frames could be decoded before, and now more can", frames)
		}
		if r.Damage() != nil {
			left--
		}
	}
	if r.Damage() == nil {
		return fileError(info.Path, ErrIO, "not all of it could be decoded before, and now all can")
	}
	return nil
}

// confirming is the number of frames after damage that ConfirmDamage decodes, so that a read error shows itself.
const confirming = 250

// CheckReadable reads the whole file. It fails with ErrIO if the disk or the network fails, like Probe if the file
// cannot be opened, and with the context's error.
func CheckReadable(ctx context.Context, path string) error {
	f, id, err := openSource(path)
	if err != nil {
		return err
	}
	return readWhole(ctx, f, path, id)
}

// readWhole reads and closes a file, and fails like CheckReadable.
func readWhole(ctx context.Context, f *os.File, path string, id fileID) error {
	defer func() { _ = f.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stop()
	n, err := io.CopyBuffer(io.Discard, onlyReader{f}, make([]byte, 1<<20))
	switch {
	case context.Cause(ctx) != nil:
		return fileError(path, context.Cause(ctx), "")
	case err != nil:
		return fileError(path, ErrIO, "%v", rootCause(err))
	case n != id.size:
		return fileError(path, ErrVanished, "%d of %d bytes can be read", n, id.size)
	}
	return nil
}

// onlyReader hides the methods by which io.Copy would avoid reading.
type onlyReader struct{ io.Reader }

// outputFault turns damage to an output into ErrTool, since it says nothing about the source.
func outputFault(err error) error {
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotVideo) || errors.Is(err, ErrNoVideoStream) ||
		errors.Is(err, ErrSeveralStreams) {
		return fmt.Errorf("%w: %s", ErrTool, err.Error())
	}
	return err
}
