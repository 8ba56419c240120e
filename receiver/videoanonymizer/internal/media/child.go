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
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// pipeSize is the most that an unprivileged process may ask for (/proc/sys/fs/pipe-max-size), in bytes; a 1080p
	// frame has 3 MB.
	pipeSize = 1 << 20
	// maxLine bounds a line of a child's stderr in bytes; the rest of a longer one is dropped.
	maxLine = 4096
	// maxTail is how many of the first complaints of a child are kept for the error message, and how many of the last.
	maxTail = 4
	// maxOutput bounds what output returns, in bytes.
	maxOutput = 16 << 20
)

// keptEnv are the environment variables that a child inherits, those that find libraries and devices. It gets no other,
// such as FFREPORT (which writes files) and the proxies.
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

// child is a running child process. It dies with this process, however this one ends.
type child struct {
	process *os.Process
	exited  chan struct{} // closed when the process has exited and its stderr was read to the end
	err     error         // how it exited, valid after exited
	stop    func() bool   // stops waiting for the context

	mu          sync.Mutex
	first, last []string // complaints: lines of level warning and worse
	failed      bool     // one of them was an error
}

// streams are the files that the child gets. start closes them in this process, even if it fails. extra become
// descriptors 3 and up.
type streams struct {
	stdin, stdout *os.File
	extra         []*os.File
}

func (s streams) close() {
	for _, f := range append([]*os.File{s.stdin, s.stdout}, s.extra...) {
		if f != nil {
			_ = f.Close()
		}
	}
}

// bounds are resource limits of a child, which the kernel enforces.
type bounds struct {
	cpu  time.Duration // in whole seconds; 0 for any
	file int64         // bytes of the largest file that it may write; 0: it may write none
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
	killed := status.Signaled() && (status.Signal() == syscall.SIGKILL || status.Signal() == syscall.SIGXCPU)
	switch {
	case b.cpu > 0 && killed && state.UserTime()+state.SystemTime() >= b.cpu-time.Second/2:
		return overLimit(fmt.Sprintf("it takes more than %v of CPU time (limits::cpu_time)", b.cpu))
	case status.Signaled() && status.Signal() == syscall.SIGXFSZ:
		return overOutput(b.file)
	}
	return nil
}

// start runs a program within bounds until it exits or ctx ends. onLine, if not nil, gets each line of stderr and tells
// whether it handled it; the others become complaints. It must not keep the bytes.
func start(
	ctx context.Context, path string, args []string, s streams, b bounds, onLine func(line []byte) bool,
) (*child, error) {
	defer s.close()
	stderr, stderrEnd, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTool, err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = childEnv()
	cmd.Dir = "/"
	cmd.ExtraFiles = s.extra
	cmd.Stderr = stderrEnd
	if s.stdin != nil { // a nil *os.File in an io.Reader is not nil
		cmd.Stdin = s.stdin
	}
	if s.stdout != nil {
		cmd.Stdout = s.stdout
	}
	cmd.SysProcAttr = sysProcAttr()

	c := &child{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the thread that started the child ends: keep it until then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = stderrEnd.Close()
		if err == nil {
			c.process = cmd.Process
			restrain(cmd.Process.Pid, b)
		}
		started <- err
		if err != nil {
			return
		}
		drained := make(chan struct{})
		go func() {
			c.drain(stderr, onLine)
			close(drained)
		}()
		c.err = cmd.Wait()
		<-drained
		if c.err != nil && cmd.ProcessState != nil {
			if over := b.exceeded(cmd.ProcessState); over != nil {
				c.err = over
			}
		}
		close(c.exited)
	}()
	if err := <-started; err != nil {
		_ = stderr.Close()
		return nil, fmt.Errorf("%w: %w", ErrTool, err)
	}
	c.stop = context.AfterFunc(ctx, c.kill)
	return c, nil
}

func (c *child) kill() { _ = c.process.Kill() }

// wait waits until the child has exited, and returns how.
func (c *child) wait() error {
	<-c.exited
	c.stop()
	return c.err
}

// waitWhile is wait, but kills a child that does not write to the file at path for as long as stall, and returns
// ErrStalled.
func (c *child) waitWhile(path string, stall time.Duration) error {
	last := writtenAt(path)
	for {
		select {
		case <-c.exited:
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

// writtenAt changes whenever something is written to a file. Size and time are both needed: overwriting does not change
// the size, and writing twice within a tick of the clock does not change the time.
func writtenAt(path string) (at struct{ size, time int64 }) {
	if stat, err := os.Stat(path); err == nil {
		at.size, at.time = stat.Size(), stat.ModTime().UnixNano()
	}
	return at
}

func (c *child) drain(stderr *os.File, onLine func([]byte) bool) {
	defer func() { _ = stderr.Close() }()
	r := bufio.NewReaderSize(stderr, 64<<10)
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

// readLine returns the next line without its end, truncated to maxLine; the bytes are valid until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	full := err == bufio.ErrBufferFull
	line = bytes.TrimRight(line[:min(len(line), maxLine)], "\r\n")
	if !full {
		return line, err
	}
	line = slices.Clone(line)
	for err == bufio.ErrBufferFull {
		_, err = r.ReadSlice('\n')
	}
	return line, err
}

// note keeps a line if it is a complaint: of level warning or worse, or from a library that writes no level.
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

// complaints returns the first and the last of the lines noted, and whether any was an error.
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

// output runs a program and returns what it writes to stdout. The input file, if not nil, becomes descriptor 3 and is
// closed. The program's complaints go to complaint, if not nil.
func output(
	ctx context.Context, path string, args []string, input *os.File, b bounds, complaint *string,
) ([]byte, error) {
	var out []byte
	text, err := stream(ctx, path, args, input, b, func(r io.Reader) (err error) {
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

// stream runs a program and calls read with its stdout; if read fails it kills the program. The input file, if not nil,
// becomes descriptor 3 and is closed. It returns the program's complaints, too.
func stream(
	ctx context.Context, path string, args []string, input *os.File, b bounds, read func(io.Reader) error,
) (string, error) {
	var s streams
	if input != nil {
		s.extra = []*os.File{input}
	}
	stdout, stdoutEnd, err := os.Pipe()
	if err != nil {
		s.close()
		return "", err
	}
	defer func() { _ = stdout.Close() }()
	s.stdout = stdoutEnd
	c, err := start(ctx, path, args, s, b, nil)
	if err != nil {
		return "", err
	}
	readErr := read(stdout)
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
