// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/confine"
)

const (
	// pipeSize is the largest buffer in bytes that an unprivileged process may request for a pipe
	// (/proc/sys/fs/pipe-max-size). A 1080p frame takes 3 MB.
	pipeSize = 1 << 20
	// maxLine bounds a line of a child's stderr in bytes; the rest of a longer one is dropped.
	maxLine = 4096
	// maxTail is how many of a child's first complaints, and how many of its last, are kept for the error message.
	maxTail = 4
	// maxOutput bounds what output returns, in bytes.
	maxOutput = 16 << 20
	// killWait is how long wait waits for a killed child: the kernel does not end a process that is waiting for an
	// unresponsive disk or server.
	killWait = 10 * time.Second
	// drainWait is how long to wait for more data on a pipe of an exited child. A process that the child started in
	// another process group may hold the pipe open.
	drainWait = 2 * time.Second
)

// keptEnv are the environment variables that a child inherits: those that locate libraries and devices. It gets no
// others, such as FFREPORT (which writes files) and those of proxies.
var keptEnv = []string{"PATH", "LD_LIBRARY_PATH", "TMPDIR", "XDG_RUNTIME_DIR", "CUDA_VISIBLE_DEVICES",
	"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH"}

func childEnv() []string {
	env := []string{"LC_ALL=C", "AV_LOG_FORCE_NOCOLOR=1"}
	for _, name := range keptEnv {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// child is a running child process, which may be a wrapper that starts the actual program. It dies with this process,
// however this one ends. Programs that a wrapper starts are in the same process group, and die with the wrapper or
// notice that their pipes are closed.
type child struct {
	pid     int
	gone    chan struct{} // closed when the process has exited
	exited  chan struct{} // closed when, after that, its stderr has been read to the end
	overdue chan struct{} // closed when it should have exited long ago
	err     error         // how it exited, valid after exited
	stop    func() bool   // stops waiting for the context

	killing sync.Mutex
	reaped  bool        // its process group ID may be reused by now
	timer   *time.Timer // closes overdue

	mu          sync.Mutex
	first, last []string // complaints: lines of level warning and worse
	failed      bool     // one of them was an error
}

// streams are the files that the child gets, nil for none. start closes them in this process, even if it fails.
type streams struct {
	stdin, stdout *os.File
	source        *os.File // descriptor 3, see inputURL
	output        *os.File // descriptor 4, see outputURL
}

func (s streams) close() {
	for _, f := range []*os.File{s.stdin, s.stdout, s.source, s.output} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// bounds limit what a child may do. The kernel enforces them.
type bounds struct {
	cpu    time.Duration // in whole seconds; 0 for any
	file   int64         // bytes of the largest file that it may write; 0 for none
	memory int64         // bytes of its address space; 0 for any
	device bool          // it uses a GPU, whose drivers map far more memory than the machine has
}

// overLimit says which of its bounds a child exceeded.
type overLimit string

func (e overLimit) Error() string { return string(e) }

func overOutput(most int64) overLimit {
	return overLimit(fmt.Sprintf("the output is larger than %d MiB (limits::output_size)", most>>20))
}

// exceeded returns the bound that ended the child, or nil.
func (b bounds) exceeded(state *os.ProcessState) error {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok {
		return nil
	}
	signal := status.Signal()
	if code := status.ExitStatus(); code > signaled { // reported by a wrapper
		signal = syscall.Signal(code - signaled)
	}
	killed := signal == syscall.SIGKILL || signal == syscall.SIGXCPU
	switch {
	case b.cpu > 0 && killed && state.UserTime()+state.SystemTime() >= b.cpu-time.Second/2:
		return overLimit(fmt.Sprintf("it takes more than %v of CPU time (limits::cpu_time)", b.cpu))
	case status.Signaled() && status.Signal() == syscall.SIGXFSZ:
		return overOutput(b.file)
	}
	return nil
}

// start starts a program, which runs within bounds until it exits or ctx ends. onLine, if not nil, gets each line of
// stderr and reports whether it handled the line. All other lines become complaints. onLine must not keep the bytes.
func (t Tools) start(
	ctx context.Context, path string, args []string, s streams, b bounds, onLine func(line []byte) bool,
) (*child, error) {
	defer s.close()
	stderr, stderrEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTool, err)
	}
	cmd := exec.Command(path, args...) //nolint:noctx // kill ends it, with all that it started
	cmd.Env = childEnv()
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{s.source, s.output}
	cmd.Stderr = stderrEnd
	if s.stdin != nil { // a nil *os.File in an io.Reader is not nil
		cmd.Stdin = s.stdin
	}
	if s.stdout != nil {
		cmd.Stdout = s.stdout
	}

	c := &child{gone: make(chan struct{}), exited: make(chan struct{}), overdue: make(chan struct{})}
	grant := confine.Grant{Read: []*os.File{s.source}, Write: []*os.File{s.output}, Device: b.device}
	err = t.confinement.Start(cmd, grant, c.gone)
	_ = stderrEnd.Close()
	if err != nil {
		_ = stderr.Close()
		return nil, fmt.Errorf("%w: %w", ErrTool, err)
	}
	c.pid = cmd.Process.Pid
	restrain(c.pid, b)
	go func() {
		drained := make(chan struct{})
		go func() {
			c.drain(stderr, onLine)
			close(drained)
		}()
		c.awaitExit()
		_ = stderr.SetReadDeadline(time.Now().Add(drainWait))
		c.err = cmd.Wait()
		<-drained
		if c.err != nil && cmd.ProcessState != nil {
			if over := b.exceeded(cmd.ProcessState); over != nil {
				c.err = over
			}
		}
		close(c.exited)
	}()
	c.stop = context.AfterFunc(ctx, c.kill)
	return c, nil
}

// awaitExit waits until the process has exited, and kills the processes that it started. Its process group ID cannot be
// reused until it is reaped.
func (c *child) awaitExit() {
	for unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	c.killing.Lock()
	defer c.killing.Unlock()
	_ = unix.Kill(-c.pid, unix.SIGKILL)
	c.reaped = true
	if c.timer != nil {
		c.timer.Stop()
	}
	close(c.gone)
}

// kill kills the process and the processes that it started.
func (c *child) kill() {
	c.killing.Lock()
	defer c.killing.Unlock()
	if c.reaped {
		return
	}
	_ = unix.Kill(-c.pid, unix.SIGKILL)
	if c.timer == nil {
		c.timer = time.AfterFunc(killWait, func() { close(c.overdue) })
	}
}

// wait waits until the child has exited, and returns its exit error. It fails with ErrStalled if a killed child does
// not exit.
func (c *child) wait() error {
	defer c.stop()
	select {
	case <-c.exited:
		return c.err
	case <-c.overdue:
		return fmt.Errorf("%w: it was killed, but has not exited for %s", ErrStalled, killWait)
	}
}

// waitWhile is like wait, but kills a child that does not write to the file at path for the duration stall, and returns
// ErrStalled.
func (c *child) waitWhile(path string, stall time.Duration) error {
	last := writtenAt(path)
	for {
		select {
		case <-c.exited:
			return c.wait()
		case <-c.overdue:
			return c.wait()
		case <-time.After(stall):
		}
		now := writtenAt(path)
		if now == last {
			c.kill()
			_ = c.wait()
			return ErrStalled
		}
		last = now
	}
}

// writtenAt returns a value that changes whenever a file is written to. Size and time are both needed: overwriting does
// not change the size, and writing twice within a tick of the clock does not change the time.
func writtenAt(path string) (at struct{ size, time int64 }) {
	if stat, err := os.Stat(path); err == nil {
		at.size, at.time = stat.Size(), stat.ModTime().UnixNano()
	}
	return at
}

func (c *child) drain(stderr *os.File, onLine func([]byte) bool) {
	defer func() { _ = stderr.Close() }()
	r := bufio.NewReaderSize(childPipe{c, stderr}, 64<<10)
	for {
		line, err := readLine(r)
		if len(line) > 0 && (onLine == nil || !onLine(line)) {
			c.note(line)
		}
		if err != nil {
			return
		}
	}
}

// childPipe reads what a child writes until the end, or until no data has come for drainWait after the child exited or
// should have exited.
type childPipe struct {
	child *child
	pipe  *os.File
}

func (p childPipe) Read(b []byte) (int, error) {
	select {
	case <-p.child.gone:
		_ = p.pipe.SetReadDeadline(time.Now().Add(drainWait))
	default:
	}
	n, err := p.pipe.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.EOF
	}
	return n, err
}

// bound limits a pending Read to drainWait after the child exits, or should have exited.
func (p childPipe) bound() {
	select {
	case <-p.child.gone:
	case <-p.child.overdue:
	}
	_ = p.pipe.SetReadDeadline(time.Now().Add(drainWait))
}

// readLine returns the next line without its line ending, truncated to maxLine; the bytes are valid until the next
// call.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	full := errors.Is(err, bufio.ErrBufferFull)
	line = bytes.TrimRight(line[:min(len(line), maxLine)], "\r\n")
	if !full {
		return line, err
	}
	line = slices.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	return line, err
}

// note keeps a line if it is a complaint: one of level warning or worse, or one without a level, as libraries print it.
func (c *child) note(line []byte) {
	l := level(line)
	if l == "info" || l == "verbose" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = c.failed || l == "error" || l == "fatal" || l == "panic"
	text := strings.ToValidUTF8(string(line), "?")
	if len(c.first) < maxTail {
		c.first = append(c.first, text)
		return
	}
	if len(c.last) == maxTail {
		c.last = slices.Delete(c.last, 0, 1)
	}
	c.last = append(c.last, text)
}

// complaints returns the first and last noted lines, and whether any was an error.
func (c *child) complaints() (text string, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(slices.Concat(c.first, c.last), "; "), c.failed
}

// level returns the level of a line written with -loglevel +level, "[context] [level] text", or "".
func level(line []byte) string {
	rest := line
	for range 3 { // a context, its parent context and the level
		if len(rest) == 0 || rest[0] != '[' {
			return ""
		}
		end := bytes.IndexByte(rest, ']')
		if end < 0 {
			return ""
		}
		switch word := string(rest[1:end]); word {
		case "info", "verbose", "warning", "error", "fatal", "panic":
			return word
		}
		rest = bytes.TrimLeft(rest[end+1:], " ")
	}
	return ""
}

// output runs a program and returns what it writes to stdout. It closes the files in s. The program's complaints go to
// complaint, if not nil.
func (t Tools) output(
	ctx context.Context, path string, args []string, s streams, b bounds, complaint *string,
) ([]byte, error) {
	var out []byte
	text, err := t.stream(ctx, path, args, s, b, func(r io.Reader) (err error) {
		if out, err = io.ReadAll(io.LimitReader(r, maxOutput+1)); err == nil && len(out) > maxOutput {
			err = overLimit(fmt.Sprintf("more than %d bytes of output", maxOutput))
		}
		return err
	})
	if complaint != nil {
		*complaint = text
	}
	return out, err
}

// stream runs a program and calls read with its stdout. If read fails, it kills the program. It closes the files in s,
// and also returns the program's complaints.
func (t Tools) stream(
	ctx context.Context, path string, args []string, s streams, b bounds, read func(io.Reader) error,
) (string, error) {
	stdout, stdoutEnd, err := os.Pipe()
	if err != nil {
		s.close()
		return "", err
	}
	defer func() { _ = stdout.Close() }()
	s.stdout = stdoutEnd
	c, err := t.start(ctx, path, args, s, b, nil)
	if err != nil {
		return "", err
	}
	pipe := childPipe{c, stdout}
	go pipe.bound()
	readErr := read(pipe)
	if readErr != nil {
		c.kill()
	}
	err = c.wait()
	text, _ := c.complaints()
	if ctxErr := context.Cause(ctx); ctxErr != nil {
		return text, ctxErr
	}
	if over := overLimit(""); errors.As(err, &over) {
		return text, over
	}
	if err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	if readErr != nil {
		return text, readErr
	}
	return text, err
}
