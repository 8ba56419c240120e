// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"
)

func TestFileIsTakenOnceItIsComplete(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	r.w.poll()
	assert.Nil(t, r.try(), "just come")
	r.pass(2 * time.Second)
	assert.Nil(t, r.try(), "not long enough the same")
	write(t, path, "ab")
	r.pass(2 * time.Second)
	assert.Nil(t, r.try(), "it grew")
	r.pass(2 * time.Second)
	assert.Nil(t, r.try(), "not long enough the same")
	assert.Zero(t, r.w.QueueLength())
	r.pass(time.Second)
	assert.Equal(t, 1, r.w.QueueLength())
	job := r.try()
	require.NotNil(t, job)
	assert.Equal(t, path, job.Path)
	assert.Equal(t, "walk.mkv", string(job.entry.Rel))
	assert.Equal(t, filepath.Join(r.out, "walk_anonymized.mkv"), job.Output)
	assert.Equal(t, r.out, filepath.Dir(job.Temp))
	assert.Equal(t, ".mkv", filepath.Ext(job.Temp))
	assert.Equal(t, 1, job.Attempt)
	assert.EqualValues(t, 2, job.Size)
	assert.Zero(t, r.w.QueueLength())
	assert.Nil(t, r.try(), "claimed")
	r.complete(job)
	r.idle()
	assert.Equal(t, []string{"walk_anonymized.mkv"}, tree(t, r.out))
}

func TestFileThatChangesBetweenLookAndClaimWaits(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	r.settle()
	write(t, path, "abc")
	assert.Nil(t, r.try())
	assert.EqualValues(t, 3, r.take().Size)
}

func TestFileOpenForWritingWaits(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer writer.Close()
	probe, err := os.Open(path)
	require.NoError(t, err)
	defer probe.Close()
	if !hasWriter(probe) {
		t.Skip("this file system knows no leases")
	}
	r.settle()
	assert.Nil(t, r.try(), "somebody has it open for writing")
	require.NoError(t, writer.Close())
	assert.Equal(t, path, r.take().Path)
}

func TestOldestComesFirst(t *testing.T) {
	r := newRig(t)
	for i, name := range []string{"c.mkv", "a.mkv", "b.mkv"} {
		path := r.drop(name, name)
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	r.settle()
	late := r.drop("late.mkv", "late")
	require.NoError(t, os.Chtimes(late, time.Unix(0, 0), time.Unix(0, 0)))
	r.settle()
	var order []string
	for job := r.try(); job != nil; job = r.try() {
		order = append(order, string(job.entry.Rel))
	}
	assert.Equal(t, []string{"c.mkv", "a.mkv", "b.mkv", "late.mkv"}, order)
}

func TestEquallyOldGoByName(t *testing.T) {
	r := newRig(t)
	at := time.Unix(1_700_000_000, 0)
	var order, want []string
	for i := range 10 {
		name := fmt.Sprintf("%d.mkv", i)
		want = append(want, name)
		require.NoError(t, os.Chtimes(r.drop(name, name), at, at))
	}
	r.settle()
	for job := r.try(); job != nil; job = r.try() {
		order = append(order, string(job.entry.Rel))
	}
	assert.Equal(t, want, order)
}

func TestWhatIsLeftAlone(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret.mkv"), "secret")
	tests := map[string]func(t *testing.T, in string){
		"hidden file":     func(t *testing.T, in string) { write(t, in+"/.walk.mkv", "a") },
		"hidden folder":   func(t *testing.T, in string) { write(t, in+"/.trash/walk.mkv", "a") },
		"part":            func(t *testing.T, in string) { write(t, in+"/walk.mkv.part", "a") },
		"capital suffix":  func(t *testing.T, in string) { write(t, in+"/walk.mkv.TMP", "a") },
		"chrome":          func(t *testing.T, in string) { write(t, in+"/walk.mkv.crdownload", "a") },
		"back-up":         func(t *testing.T, in string) { write(t, in+"/walk.mkv~", "a") },
		"firefox":         func(t *testing.T, in string) { write(t, in+"/walk.mkv", ""); write(t, in+"/walk.mkv.part", "a") },
		"aria2":           func(t *testing.T, in string) { write(t, in+"/walk.mkv", "aaaa"); write(t, in+"/walk.mkv.aria2", "a") },
		"file manager":    func(t *testing.T, in string) { write(t, in+"/Thumbs.db", "a") },
		"folder":          func(t *testing.T, in string) { require.NoError(t, os.Mkdir(in+"/walk.mkv", 0o755)) },
		"named pipe":      func(t *testing.T, in string) { require.NoError(t, unix.Mkfifo(in+"/walk.mkv", 0o644)) },
		"link to a file":  func(t *testing.T, in string) { require.NoError(t, os.Symlink(outside+"/secret.mkv", in+"/walk.mkv")) },
		"link to folder":  func(t *testing.T, in string) { require.NoError(t, os.Symlink(outside, in+"/more")) },
		"link to itself":  func(t *testing.T, in string) { require.NoError(t, os.Symlink("walk.mkv", in+"/walk.mkv")) },
		"loop of folders": func(t *testing.T, in string) { require.NoError(t, os.Symlink(in, in+"/again")) },
		"dangling link":   func(t *testing.T, in string) { require.NoError(t, os.Symlink("nowhere", in+"/walk.mkv")) },
		"socket": func(t *testing.T, in string) {
			t.Chdir(in) // the path of a socket is short
			listener, err := net.Listen("unix", "walk.mkv")
			require.NoError(t, err)
			t.Cleanup(func() { listener.Close() })
		},
	}
	for name, put := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			put(t, r.in)
			r.idle()
			r.idle()
			path := r.drop("good.mkv", "good")
			assert.Equal(t, path, r.take().Path, "the others go on")
		})
	}
}

// TestRaceToFIFO replaces a ready file by a pipe, which would hold up whoever opens it.
func TestRaceToFIFO(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	r.settle()
	require.NoError(t, os.Remove(path))
	require.NoError(t, unix.Mkfifo(path, 0o644))
	assert.Nil(t, r.try())
	r.idle()
}

// TestUnreadableFileIsHandedOut leaves it to the job's owner to find out, and to report, that a file cannot be read.
func TestUnreadableFileIsHandedOut(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	require.NoError(t, os.Chmod(path, 0))
	r.settle()
	asNobody(t, func() {
		_, err := os.Open(path)
		require.ErrorIs(t, err, os.ErrPermission)
		f, _, err := r.w.queue.tryNext()
		require.NoError(t, err)
		require.NotNil(t, f)
		sum, ok := r.w.inspect(f)
		assert.Empty(t, sum)
		assert.True(t, ok)
		r.w.requeue(f, 0)
	})
	job := r.try()
	require.NotNil(t, job)
	require.NoError(t, job.Fail("unreadable", os.ErrPermission))
	r.idle()
	require.NoError(t, os.Chmod(path, 0o644))
	r.finish(path)
}

// asNobody calls with the file permissions of an unprivileged user. Threads have their own, if set this way.
func asNobody(t *testing.T, call func()) {
	if os.Geteuid() != 0 {
		call()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const nobody = 65534
	require.NoError(t, unix.Setfsuid(nobody))
	defer unix.Setfsuid(0)
	call()
}

func TestRenameNoReplace(t *testing.T) {
	for name, rename := range map[string]func(from, to string) error{"rename": renameNoReplace, "link": linkNoReplace} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/a", "a")
			write(t, dir+"/b", "b")
			require.ErrorIs(t, rename(dir+"/a", dir+"/b"), os.ErrExist)
			assert.Equal(t, "a", read(t, dir+"/a"))
			assert.Equal(t, "b", read(t, dir+"/b"))
			require.NoError(t, rename(dir+"/a", dir+"/c"))
			assert.Equal(t, []string{"b", "c"}, tree(t, dir))
		})
	}
}

// TestDoneIsDone changes what is around a finished video and tells whether it is done again.
func TestDoneIsDone(t *testing.T) {
	touch := func(t *testing.T, path string) {
		at := time.Now().Add(time.Hour)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	tests := map[string]struct {
		change func(t *testing.T, r *rig, path, output string)
		again  string // the input that is taken, if any
	}{
		"nothing":              {change: func(*testing.T, *rig, string, string) {}},
		"output moved away":    {change: func(t *testing.T, _ *rig, _, output string) { require.NoError(t, os.Remove(output)) }},
		"touched":              {change: func(t *testing.T, _ *rig, path, _ string) { touch(t, path) }},
		"chmod":                {change: func(t *testing.T, _ *rig, path, _ string) { require.NoError(t, os.Chmod(path, 0o600)) }},
		"renamed":              {change: func(t *testing.T, r *rig, path, _ string) { require.NoError(t, os.Rename(path, r.in+"/run.mkv")) }},
		"output renamed there": {change: func(t *testing.T, r *rig, _, output string) { require.NoError(t, os.Rename(output, r.in+"/out.mkv")) }},
		"output copied there":  {change: func(t *testing.T, r *rig, _, output string) { write(t, r.in+"/out.mkv", read(t, output)) }},
		"output linked there":  {change: func(t *testing.T, r *rig, _, output string) { require.NoError(t, os.Link(output, r.in+"/out.mkv")) }},
		"restored": {change: func(t *testing.T, _ *rig, path, _ string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			text := read(t, path)
			write(t, path+".new", text)
			require.NoError(t, os.Chtimes(path+".new", info.ModTime(), info.ModTime()))
			require.NoError(t, os.Rename(path+".new", path))
		}},
		"touched, output gone": {again: "walk.mkv", change: func(t *testing.T, _ *rig, path, output string) {
			touch(t, path)
			require.NoError(t, os.Remove(output))
		}},
		"other content": {again: "walk.mkv", change: func(t *testing.T, _ *rig, path, _ string) { write(t, path, "another video") }},
		"other content, same size and time": {again: "walk.mkv", change: func(t *testing.T, _ *rig, path, _ string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			write(t, path, strings.ToUpper(read(t, path)))
			require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}},
		"copied":      {again: "run.mkv", change: func(t *testing.T, r *rig, path, _ string) { write(t, r.in+"/run.mkv", read(t, path)) }},
		"hard linked": {again: "run.mkv", change: func(t *testing.T, r *rig, path, _ string) { require.NoError(t, os.Link(path, r.in+"/run.mkv")) }},
	}
	for name, test := range tests {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/restart=%t", name, restart), func(t *testing.T) {
				r := newRig(t)
				path := r.drop("walk.mkv", "a video")
				job := r.finish(path)
				if restart {
					require.NoError(t, r.w.Stop(t.Context()))
				}
				test.change(t, r, path, job.Output)
				if restart {
					r.start()
				}
				if test.again != "" {
					r.finish(filepath.Join(r.in, test.again))
				}
				r.idle()
				r.restart()
				r.idle()
			})
		}
	}
}

func TestNestedFolders(t *testing.T) {
	tests := map[string]struct {
		include, output string // below the root
		name            func(rel string) string
		input           string
	}{
		"apart":                {include: "in/*", output: "out", input: "in/walk.mkv"},
		"output in input":      {include: "in/**", output: "in/out", input: "in/walk.mkv"},
		"output in a subtree":  {include: "in/**/*", output: "in/a/out", input: "in/a/walk.mkv"},
		"input in output":      {include: "out/in/**", output: "out", input: "out/in/walk.mkv"},
		"the same":             {include: "in/*", output: "in", input: "in/walk.mkv"},
		"the same, deep":       {include: "in/**", output: "in", input: "in/a/walk.mkv"},
		"the same by a link":   {include: "in/**", output: "link", input: "in/walk.mkv"},
		"the same name wanted": {include: "in/*", output: "in", input: "in/walk.mkv", name: func(rel string) string { return rel }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var root string
			r := newRig(t, func(r *rig) {
				root = filepath.Dir(r.in)
				require.NoError(t, os.Symlink(r.in, root+"/link"))
				r.opts.Config.Include = []string{filepath.Join(root, test.include)}
				r.opts.OutputDirectory = filepath.Join(root, test.output)
				if test.name != nil {
					r.opts.OutputName = test.name
				}
			})
			path := filepath.Join(root, test.input)
			write(t, path, "a video")
			job := r.take()
			require.Equal(t, path, job.Path)
			write(t, job.Temp, "masked")
			r.idle() // the temporary file
			require.NoError(t, job.Publish())
			r.idle() // published, but not yet recorded as done
			require.NoError(t, job.Done())
			r.idle()
			assert.Equal(t, "a video", read(t, path))
			assert.Equal(t, "masked", read(t, job.Output))

			r.restart()
			r.idle()
			require.NoError(t, os.Rename(job.Output, filepath.Join(filepath.Dir(path), "shown.mkv")))
			r.idle()
			r.restart()
			r.idle()
			write(t, job.Output, "edited by a person")
			if filepath.Dir(job.Output) == filepath.Dir(path) {
				r.idle()
			}
		})
	}
}

// TestOutputFolderIsNoInput leaves alone what the journal knows nothing of, such as the outputs before it was lost.
func TestOutputFolderIsNoInput(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.out = r.in + "/out"
		r.opts.OutputDirectory = r.out
	})
	write(t, r.out+"/a/older_anonymized.mkv", "masked")
	r.idle()
}

func TestOutputNames(t *testing.T) {
	tests := map[string]struct {
		inputs, taken, want []string
	}{
		"two containers": {inputs: []string{"walk.mkv", "walk.mp4"}, want: []string{"walk_anonymized-2.mkv", "walk_anonymized.mkv"}},
		"taken":          {inputs: []string{"walk.mkv"}, taken: []string{"walk_anonymized.mkv", "walk_anonymized-2.mkv"}, want: []string{"walk_anonymized-3.mkv"}},
		"sub-folder":     {inputs: []string{"a/b/walk.mkv"}, want: []string{"a/b/walk_anonymized.mkv"}},
		"newline":        {inputs: []string{"a\nb.mkv"}, want: []string{"a\nb_anonymized.mkv"}},
		"not UTF-8":      {inputs: []string{"caf\xe9.mkv"}, want: []string{"caf\xe9_anonymized.mkv"}},
		"option":         {inputs: []string{"-i.mkv"}, want: []string{"-i_anonymized.mkv"}},
		"pattern":        {inputs: []string{"%03d.mkv", "[a].mkv"}, want: []string{"%03d_anonymized.mkv", "[a]_anonymized.mkv"}},
		"protocol":       {inputs: []string{"concat:a|b.mkv"}, want: []string{"concat:a|b_anonymized.mkv"}},
		"no extension":   {inputs: []string{"walk"}, want: []string{"walk_anonymized.mkv"}},
		"long":           {inputs: []string{strings.Repeat("x", 251) + ".mkv"}, want: []string{strings.Repeat("x", 235) + "_anonymized.mkv"}},
		"long in UTF-8":  {inputs: []string{strings.Repeat("ö", 125) + ".mkv"}, want: []string{strings.Repeat("ö", 117) + "_anonymized.mkv"}},
		"long, two": {
			inputs: []string{strings.Repeat("x", 251) + ".mkv", strings.Repeat("x", 250) + "y.mkv"},
			want:   []string{strings.Repeat("x", 235) + "_anonymized-2.mkv", strings.Repeat("x", 235) + "_anonymized.mkv"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for _, name := range test.taken {
				write(t, filepath.Join(r.out, name), "somebody else's")
			}
			for _, name := range test.inputs {
				r.drop(name, name)
			}
			r.settle()
			var jobs []*Job
			for job := r.try(); job != nil; job = r.try() {
				jobs = append(jobs, job)
			}
			require.Len(t, jobs, len(test.inputs))
			for _, job := range jobs {
				r.complete(job)
			}
			want := slices.Sorted(slices.Values(slices.Concat(test.want, test.taken)))
			got := tree(t, r.out)
			slices.Sort(got)
			assert.Equal(t, want, got)
			for _, name := range test.taken {
				assert.Equal(t, "somebody else's", read(t, filepath.Join(r.out, name)))
			}
			r.crash()
			r.start()
			r.idle()
		})
	}
}

func TestOutputNameOutsideOfItsFolder(t *testing.T) {
	r := newRig(t, func(r *rig) {
		r.opts.OutputName = func(rel string) string { return "../" + rel }
	})
	path := r.drop("walk.mkv", "a")
	r.settle()
	assert.Nil(t, r.try())
	assert.Equal(t, "a", read(t, path))
}

func TestNameTakenMeanwhile(t *testing.T) {
	r := newRig(t)
	r.drop("walk.mkv", "a")
	job := r.take()
	write(t, job.Temp, "masked")
	write(t, job.Output, "somebody else's")
	require.ErrorIs(t, job.Publish(), ErrTaken)
	require.NoError(t, job.Retry("output_taken", ErrTaken, false))
	assert.Equal(t, []string{"walk_anonymized.mkv"}, tree(t, r.out), "the temporary file is gone")
	r.pass(10 * time.Second)
	again := r.try()
	require.NotNil(t, again)
	r.complete(again)
	assert.Equal(t, "somebody else's", read(t, job.Output))
	assert.Equal(t, []string{"walk_anonymized-2.mkv", "walk_anonymized.mkv"}, tree(t, r.out))
}

func TestUnchanged(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, path string)
		want   error
	}{
		"same":    {change: func(*testing.T, string) {}},
		"chmod":   {change: func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o600)) }},
		"linked":  {change: func(t *testing.T, path string) { require.NoError(t, os.Link(path, path+".link")) }},
		"deleted": {want: ErrVanished, change: func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
		"renamed": {want: ErrVanished, change: func(t *testing.T, path string) { require.NoError(t, os.Rename(path, path+".old")) }},
		"grown":   {want: ErrChanged, change: func(t *testing.T, path string) { write(t, path, "a video and more") }},
		"a folder": {want: ErrChanged, change: func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o755))
		}},
		"replaced": {want: ErrChanged, change: func(t *testing.T, path string) {
			write(t, path+".new", "a video")
			require.NoError(t, os.Rename(path+".new", path))
		}},
		"time set back": {want: ErrChanged, change: func(t *testing.T, path string) {
			info, err := os.Stat(path)
			require.NoError(t, err)
			write(t, path, "A VIDEO")
			require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path := r.drop("walk.mkv", "a video")
			job := r.take()
			require.NoError(t, job.Unchanged())
			test.change(t, path)
			if test.want == nil {
				assert.NoError(t, job.Unchanged())
			} else {
				assert.ErrorIs(t, job.Unchanged(), test.want)
			}
		})
	}
}

func TestChangedSourceIsTakenAgain(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "half a video")
	job := r.take()
	write(t, path, "half a video, and the other half")
	err := job.Unchanged()
	require.ErrorIs(t, err, ErrChanged)
	require.NoError(t, job.Retry("changed", err, false))
	assert.Nil(t, r.try())
	again := r.take()
	assert.Equal(t, 1, again.Attempt, "it is another video")
	r.complete(again)
	r.idle()
}

func TestRetry(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	other := r.drop("other.mkv", "b")
	job := r.take()
	if job.Path == other {
		r.complete(job)
		job = r.try()
	} else {
		r.complete(r.try())
	}
	require.Equal(t, path, job.Path)
	for attempt, wait := range []time.Duration{10 * time.Second, 20 * time.Second} {
		assert.Equal(t, attempt+1, job.Attempt)
		require.NoError(t, job.Retry("disk_full", unix.ENOSPC, false))
		r.pass(wait - time.Millisecond)
		assert.Nil(t, r.try(), "too early")
		assert.Zero(t, r.w.QueueLength())
		r.pass(time.Millisecond)
		assert.Equal(t, 1, r.w.QueueLength())
		job = r.try()
		require.NotNil(t, job)
	}
	require.NoError(t, job.Retry("disk_full", unix.ENOSPC, false))
	r.pass(time.Hour)
	assert.Nil(t, r.try(), "given up")

	r.restart()
	job = r.take()
	assert.Equal(t, 1, job.Attempt, "a restart gives it another chance, since the cause may have passed")
	require.NoError(t, job.Retry("disk_full", unix.ENOSPC, false))
	r.restart()
	assert.Equal(t, 2, r.take().Attempt, "attempts count across restarts")
}

func TestPermanentFailure(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, path string)
		again  bool
	}{
		"nothing":  {change: func(*testing.T, string) {}},
		"touched":  {again: true, change: func(t *testing.T, path string) { require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0))) }},
		"chmod":    {again: true, change: func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o600)) }},
		"rewrite":  {again: true, change: func(t *testing.T, path string) { write(t, path, "a better one") }},
		"vanished": {change: func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path := r.drop("walk.mkv", "no video")
			job := r.take()
			write(t, job.Temp, "half")
			require.NoError(t, job.Fail("not_video", os.ErrInvalid))
			require.NoError(t, job.Retry("not_video", os.ErrInvalid, false), "ended jobs stay ended")
			job.Abandon()
			r.idle()
			assert.Empty(t, tree(t, r.out))
			r.restart()
			r.idle()
			test.change(t, path)
			if test.again {
				assert.Equal(t, 1, r.take().Attempt)
			} else {
				r.idle()
			}
		})
	}
}

func TestAbandonedIsTakenAgain(t *testing.T) {
	r := newRig(t)
	r.drop("walk.mkv", "a")
	job := r.take()
	write(t, job.Temp, "half")
	job.Abandon()
	assert.Empty(t, tree(t, r.out))
	r.restart()
	job = r.take()
	assert.Equal(t, 1, job.Attempt)
	r.complete(job)
	r.idle()
}

func TestMissingFolder(t *testing.T) {
	r := newRig(t, func(r *rig) { require.NoError(t, os.Remove(r.in)) })
	r.idle()
	path := r.drop("walk.mkv", "a") // makes the folder
	r.finish(path)
	require.NoError(t, os.RemoveAll(r.in))
	r.idle()
	path = r.drop("run.mkv", "b")
	r.finish(path)
}

func TestMissingFolderBelowTheWorkingDirectoryIsMade(t *testing.T) {
	t.Chdir(t.TempDir())
	outside := filepath.Join(t.TempDir(), "mount", "in")
	w, err := New(Options{
		Config:          Config{Include: []string{"videos/incoming/*", "one/walk.mkv", outside + "/*"}, PollInterval: time.Second},
		OutputDirectory: "videos/anonymized", OutputName: func(rel string) string { return rel }, Logger: zaptest.NewLogger(t),
	})
	require.NoError(t, err)
	require.NoError(t, w.Start())
	defer func() { assert.NoError(t, w.Stop(context.Background())) }()
	assert.DirExists(t, "videos/incoming")
	assert.NoDirExists(t, "one")
	assert.NoDirExists(t, outside)
}

// TestManyAtOnce runs everything for real: the looks, inotify, and several owners of jobs.
func TestManyAtOnce(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	opts := testOptions(in, out)
	opts.Config.PollInterval, opts.Config.StableFor = 20*time.Millisecond, 30*time.Millisecond
	w, err := New(opts)
	require.NoError(t, err)
	require.NoError(t, w.Start())
	const files = 60
	var mu sync.Mutex
	times := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var owners sync.WaitGroup
	for range 4 {
		owners.Go(func() {
			for {
				job, err := w.Next(ctx)
				if err != nil {
					assert.ErrorIs(t, err, context.Canceled)
					return
				}
				assert.NoError(t, os.WriteFile(job.Temp, []byte("masked "+job.Path), 0o644))
				assert.NoError(t, job.Publish())
				assert.NoError(t, job.Done())
				mu.Lock()
				times[string(job.entry.Rel)]++
				if len(times) == files {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for i := range files {
		write(t, filepath.Join(in, fmt.Sprintf("%d/%d.mkv", i%3, i)), fmt.Sprint(i))
		w.QueueLength()
	}
	owners.Wait()
	require.NoError(t, w.Stop(context.Background()))
	assert.Len(t, times, files)
	for name, n := range times {
		assert.Equal(t, 1, n, name)
	}
	assert.Len(t, tree(t, out), files)
}

// TestWakeUp finds a file long before the poll interval, told by inotify.
func TestWakeUp(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	opts := testOptions(in, out)
	opts.Config.PollInterval, opts.Config.StableFor = time.Hour, 10*time.Millisecond
	opts.Retry.InitialInterval = 20 * time.Millisecond
	w, err := New(opts)
	require.NoError(t, err)
	require.NoError(t, w.Start())
	if w.folders.inotify == nil {
		t.Skip("no inotify here")
	}
	require.Eventually(t, func() bool { return len(w.folders.inotify.WatchList()) > 0 }, 10*time.Second, time.Millisecond)
	write(t, filepath.Join(in, "walk.mkv"), "a")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	job, err := w.Next(ctx)
	require.NoError(t, err)
	require.NoError(t, job.Retry("disk_full", unix.ENOSPC, false))
	job, err = w.Next(ctx) // does not wait for the poll interval either
	require.NoError(t, err)
	assert.Equal(t, 2, job.Attempt)
	job.Abandon()
	require.NoError(t, w.Stop(ctx))
}

func TestStop(t *testing.T) {
	start := func(t *testing.T) (*Watcher, string) {
		in := t.TempDir()
		opts := testOptions(in, t.TempDir())
		opts.Config.PollInterval, opts.Config.StableFor = 10*time.Millisecond, 0
		w, err := New(opts)
		require.NoError(t, err)
		require.NoError(t, w.Start())
		return w, in
	}
	t.Run("without start, twice", func(t *testing.T) {
		w, err := New(testOptions("in", "out"))
		require.NoError(t, err)
		require.NoError(t, w.Stop(t.Context()))
		require.NoError(t, w.Stop(t.Context()))
		require.ErrorIs(t, w.Start(), ErrStopped)
	})
	t.Run("ends Next", func(t *testing.T) {
		w, _ := start(t)
		ended := make(chan error)
		go func() {
			_, err := w.Next(context.Background())
			ended <- err
		}()
		require.NoError(t, w.Stop(t.Context()))
		require.ErrorIs(t, <-ended, ErrStopped)
		require.NoError(t, w.Stop(t.Context()))
	})
	t.Run("waits for jobs", func(t *testing.T) {
		w, in := start(t)
		write(t, filepath.Join(in, "walk.mkv"), "a")
		job, err := w.Next(t.Context())
		require.NoError(t, err)
		stopped := make(chan error)
		go func() { stopped <- w.Stop(context.Background()) }()
		_, err = w.Next(t.Context())
		for err == nil || !assert.ErrorIs(t, err, ErrStopped) {
			_, err = w.Next(t.Context())
		}
		require.NoError(t, os.WriteFile(job.Temp, []byte("masked"), 0o644))
		require.NoError(t, job.Publish())
		require.NoError(t, job.Done())
		require.NoError(t, <-stopped)
	})
	t.Run("gives up jobs", func(t *testing.T) {
		w, in := start(t)
		write(t, filepath.Join(in, "walk.mkv"), "a")
		job, err := w.Next(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, w.Stop(ctx), context.Canceled)
		require.NoError(t, os.WriteFile(job.Temp, []byte("half"), 0o644)) // its owner has not noticed
		require.NoError(t, job.Done(), "too late to have an effect")
		assert.ErrorIs(t, job.Publish(), ErrStopped)

		next, err := New(w.opts)
		require.NoError(t, err)
		require.NoError(t, next.Start())
		again, err := next.Next(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, again.Attempt)
		assert.True(t, again.Resumable())
		again.Abandon()
		assert.NoFileExists(t, job.Temp)
		require.NoError(t, next.Stop(t.Context()))
	})
}

func TestTwoCollectorsOnOneFolder(t *testing.T) {
	r := newRig(t)
	second, err := New(r.opts)
	require.NoError(t, err)
	assert.ErrorContains(t, second.Start(), fmt.Sprintf("in use by process %d: stop that collector", os.Getpid()))
	require.NoError(t, second.Stop(t.Context()))
}

func TestNewRefuses(t *testing.T) {
	_, err := New(Options{OnSuccess: "burn", Retry: Retry{MaxAttempts: 1}})
	for _, key := range []string{"include:", "poll_interval:", "output directory:", "output name:", "on_success:", "retry:"} {
		assert.ErrorContains(t, err, key)
	}
	opts := testOptions("in", "out")
	opts.OnSuccess = OnSuccessMove
	_, err = New(opts)
	assert.ErrorContains(t, err, "move_to:")
}

func TestWatchedFolderInMoveTo(t *testing.T) {
	in := t.TempDir()
	opts := testOptions(in, t.TempDir())
	opts.OnSuccess, opts.MoveTo = OnSuccessMove, in
	w, err := New(opts)
	require.NoError(t, err)
	assert.ErrorContains(t, w.Start(), "use folders apart")
}
