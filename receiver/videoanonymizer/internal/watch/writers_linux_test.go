// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// refused acts like a lease that the kernel refuses without a reason, as for a file of another user.
func refused(*os.File) writing { return writingUnknown }

// TestUnknownWriterWaitsLonger checks that a file that may be open for writing is claimed only after a longer calm,
// which starts again with each change.
func TestUnknownWriterWaitsLonger(t *testing.T) {
	r := newRig(t)
	r.w.completeness.lease = refused
	path := r.drop("walk.mkv", "half a video")
	r.settle()
	require.Nil(t, r.try())
	r.pass(20 * time.Second)
	require.Nil(t, r.try())
	write(t, path, "half a video, and the other half")
	r.w.poll()
	r.pass(unknownCalm(r.opts.Config.StableFor) - time.Millisecond)
	require.Nil(t, r.try())
	r.pass(r.opts.Config.StableFor)
	require.NotNil(t, r.try())
}

// TestWriterSeenByInotify relies on what inotify says about a file for which the kernel refuses the lease.
func TestWriterSeenByInotify(t *testing.T) {
	const modify, closed, from, to = unix.IN_MODIFY, unix.IN_CLOSE_WRITE, unix.IN_MOVED_FROM, unix.IN_MOVED_TO
	type event struct {
		mask uint32
		name string
	}
	tests := map[string]struct {
		events []event
		late   bool // the file changes after the events
		calm   time.Duration
	}{
		"nothing": {calm: 30 * time.Second},
		"closed":  {events: []event{{unix.IN_CREATE, "walk.mkv"}, {modify, "walk.mkv"}, {closed, "walk.mkv"}}},
		"closed, then changed": {
			events: []event{{closed, "walk.mkv"}}, late: true, calm: 30 * time.Second,
		},
		"written": {events: []event{{modify, "walk.mkv"}}, calm: forgottenCalm},
		"closed by one of two": {
			events: []event{{modify, "walk.mkv"}, {closed, "walk.mkv"}, {modify, "walk.mkv"}}, calm: forgottenCalm,
		},
		"renamed": {events: []event{{to, "walk.mkv"}}},
		"renamed while written": {
			events: []event{{modify, "x.part"}, {from, "x.part"}, {to, "walk.mkv"}}, calm: forgottenCalm,
		},
		"renamed when complete": {
			events: []event{{modify, "x.part"}, {closed, "x.part"}, {from, "x.part"}, {to, "walk.mkv"}},
		},
		"events lost": {
			events: []event{{closed, "walk.mkv"}, {unix.IN_Q_OVERFLOW, ""}}, calm: 30 * time.Second,
		},
		"a new file of the name": {
			events: []event{{closed, "walk.mkv"}, {unix.IN_CREATE, "walk.mkv"}}, calm: 30 * time.Second,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.w.completeness.lease = refused
			path := r.drop("walk.mkv", "a video")
			for _, e := range test.events {
				r.w.completeness.seen.handle(inotifyEvent{mask: e.mask, cookie: 7, path: filepath.Join(r.in, e.name)})
			}
			if test.late {
				write(t, path, "a longer video")
			}
			r.settle()
			if test.calm > 0 {
				require.Nil(t, r.try())
				r.pass(test.calm - r.opts.Config.StableFor - time.Millisecond)
				require.Nil(t, r.try(), "too early")
				r.pass(r.opts.Config.StableFor)
			}
			require.NotNil(t, r.try())
		})
	}
}

// watched returns the number of watched folders.
func (n *inotify) watched() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.folders)
}

// TestInotifySeesWriting checks what the kernel reports about a file.
func TestInotifySeesWriting(t *testing.T) {
	n, err := newInotify()
	if err != nil {
		t.Skip("inotify is not available: ", err)
	}
	dir := t.TempDir()
	require.NoError(t, n.add(dir))
	require.Equal(t, 1, n.watched())
	seen, ended := newWritesSeen(), make(chan error)
	go func() { ended <- n.listen(seen.handle) }()
	path := filepath.Join(dir, "walk.mkv")
	becomes := func(path string, want writing) {
		t.Helper()
		require.Eventually(t, func() bool {
			st, _, err := lstat(path)
			return err == nil && seen.state(path, st) == want
		}, 10*time.Second, time.Millisecond)
	}
	f, err := os.Create(path)
	require.NoError(t, err)
	_, err = f.WriteString("half")
	require.NoError(t, err)
	becomes(path, isWriting)
	require.NoError(t, os.Rename(path, path+"2"))
	becomes(path+"2", isWriting)
	require.NoError(t, f.Close())
	becomes(path+"2", notWriting)
	require.NoError(t, os.Remove(path+"2"))
	require.NoError(t, os.Remove(dir))
	require.Eventually(t, func() bool { return n.watched() == 0 }, 10*time.Second, time.Millisecond)
	n.close()
	require.NoError(t, <-ended)
	require.ErrorIs(t, n.add(t.TempDir()), os.ErrClosed)
}

// TestProcShowsWriter finds the writer of a file about which neither the kernel nor inotify says anything.
func TestProcShowsWriter(t *testing.T) {
	r := newRig(t)
	r.w.completeness.lease = refused
	path := r.drop("walk.mkv", "a video")
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	reader, err := os.Open(path)
	require.NoError(t, err)
	defer reader.Close()
	r.settle()
	for range 3 {
		r.pass(time.Hour)
		require.Nil(t, r.try())
	}
	require.NoError(t, writer.Close())
	r.pass(time.Minute)
	require.NotNil(t, r.try())
}

// TestSourceThatChangesAfterPublicationStays keeps a source open, and then grows it, after its output was published,
// and checks that it is neither deleted nor moved nor quarantined, and is processed again.
func TestSourceThatChangesAfterPublicationStays(t *testing.T) {
	outcomes := map[string]struct {
		option func(*rig)
		end    func(*rig, *Job)
	}{
		"delete": {
			option: func(r *rig) { r.opts.OnSuccess = OnSuccessDelete },
			end:    func(r *rig, job *Job) { r.complete(job) },
		},
		"move": {
			option: func(r *rig) { r.opts.OnSuccess, r.opts.MoveTo = OnSuccessMove, r.in+"-done" },
			end:    func(r *rig, job *Job) { r.complete(job) },
		},
		"quarantine": {
			option: func(r *rig) { r.opts.QuarantineDirectory = r.in + "-failed" },
			end:    func(r *rig, job *Job) { require.NoError(r.t, job.Fail("damaged", nil)) },
		},
	}
	for name, outcome := range outcomes {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, outcome.option)
				path := r.drop("walk.mkv", "half a video")
				outcome.end(r, r.take())
				require.FileExists(t, path)
				r.pass(longCalm(r.opts.Config.StableFor) - time.Millisecond)
				require.FileExists(t, path, "it may go on yet")
				if restart {
					r.restart()
					r.pass(time.Second)
					require.FileExists(t, path, "the time starts again")
				}
				f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
				require.NoError(t, err)
				for range 5 {
					r.dispose()
					require.FileExists(t, path, "a program has it open for writing")
				}
				_, err = f.WriteString(", and the other half")
				require.NoError(t, err)
				require.NoError(t, f.Close())
				job := r.take()
				require.Equal(t, path, job.Path)
				r.dispose()
				require.FileExists(t, path, "it is processed again")
				outcome.end(r, job)
				r.dispose()
				require.NoFileExists(t, path)
				r.idle()
			})
		}
	}
}

// TestSourceRewrittenAfterPublicationStays changes a file in place, and sets its times back.
func TestSourceRewrittenAfterPublicationStays(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.OnSuccess = OnSuccessDelete })
	path := r.drop("walk.mkv", "a video")
	info, err := os.Stat(path)
	require.NoError(t, err)
	r.complete(r.take())
	write(t, path, "A VIDEO")
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	r.dispose()
	require.Equal(t, "A VIDEO", read(t, path))
	r.finish(path)
	r.dispose()
	require.NoFileExists(t, path)
}

// TestUnclosedSourceStays checks that a file that inotify saw being written, but not closed, is processed but never
// deleted.
func TestUnclosedSourceStays(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.OnSuccess = OnSuccessDelete })
	r.w.completeness.lease, r.w.disposal.completeness.lease = refused, refused
	path := r.drop("walk.mkv", "a video")
	r.w.completeness.seen.handle(inotifyEvent{mask: unix.IN_MODIFY, path: path})
	r.w.poll()
	r.pass(forgottenCalm)
	r.complete(r.try())
	for range 10 {
		r.pass(forgottenCalm)
		require.FileExists(t, path)
	}
	r.w.completeness.seen.handle(inotifyEvent{mask: unix.IN_CLOSE_WRITE, path: path})
	r.dispose()
	require.NoFileExists(t, path)
}

// TestUnknownWriterAfterPublication checks that a source that may be open for writing is deleted only after a longer
// calm.
func TestUnknownWriterAfterPublication(t *testing.T) {
	r := newRig(t, func(r *rig) { r.opts.OnSuccess = OnSuccessDelete })
	r.opts.Config.StableFor = time.Second
	r.restart()
	path := r.drop("walk.mkv", "a video")
	job := r.take()
	r.complete(job)
	r.w.disposal.completeness.lease = refused
	r.pass(longCalm(time.Second))
	require.FileExists(t, path)
	r.pass(unknownCalm(time.Second) - longCalm(time.Second))
	require.NoFileExists(t, path)
}

const nobodyEnv = "WATCH_TEST_NOBODY"

// beNobody runs a collector as an unprivileged user. It prints the sizes of the files that it claims.
func beNobody() {
	root := os.Getenv(nobodyEnv)
	opts := testOptions(root+"/in", root+"/out")
	opts.Config.PollInterval, opts.Config.StableFor = 20*time.Millisecond, 100*time.Millisecond
	w, err := New(opts)
	if err == nil {
		err = w.Start()
	}
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	println("started")
	for {
		job, err := w.Next(context.Background())
		if err != nil {
			os.Exit(1)
		}
		println(job.Size)
		_ = job.Fail("test", nil)
	}
}

// TestFileOfAnotherUserStillWritten lets a recorder of root pause while a collector of another user watches: the kernel
// does not tell the collector about the recorder.
func TestFileOfAnotherUserStillWritten(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	const nobody = 65534
	root, err := os.MkdirTemp("", "")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	binary, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(root+"/watch.test", binary, 0o755))
	for _, dir := range []string{root, root + "/in", root + "/out"} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.Chmod(dir, 0o777))
	}
	collector := exec.Command(root + "/watch.test")
	collector.Env = append(os.Environ(), nobodyEnv+"="+root)
	collector.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	output, err := collector.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, collector.Start())
	t.Cleanup(func() {
		_ = collector.Process.Kill()
		_ = collector.Wait()
	})
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for text := bufio.NewScanner(output); text.Scan(); {
			lines <- strings.TrimSpace(text.Text())
		}
	}()
	require.Equal(t, "started", <-lines)
	time.Sleep(300 * time.Millisecond) // until inotify watches
	recording, err := os.Create(root + "/in/walk.mkv")
	require.NoError(t, err)
	for _, text := range []string{"half a video", ", and the other half"} {
		_, err = recording.WriteString(text)
		require.NoError(t, err)
		select {
		case line := <-lines:
			t.Fatalf("claimed while it is being written: %s", line)
		case <-time.After(1500 * time.Millisecond):
		}
	}
	require.NoError(t, recording.Close())
	select {
	case line := <-lines:
		assert.Equal(t, "32", line, "all of it")
	case <-time.After(20 * time.Second):
		t.Fatal("not claimed, although it is complete")
	}
}
