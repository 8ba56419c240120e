// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) {
	minLease = 100 * time.Millisecond
	if text := os.Getenv(childEnv); text != "" {
		if err := beChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // the tests mostly wait
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// testLease is long enough for a machine that is busy with other tests.
const testLease = 600 * time.Millisecond

const (
	unitBytes    = 3000
	segmentBytes = 1000
)

// inverter is a Worker on real files. Its videos are bytes, and a unit is a range of them. It publishes the inverted
// bytes, and their number as a companion.
type inverter struct {
	root string
	// pace is how long a segment takes.
	pace time.Duration
	// fail may make a call fail: "plan", "do 2", "join", "published".
	fail func(call string) error

	mu     sync.Mutex
	failed []Video // passed to Failed
}

type span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

func (w *inverter) failing(call string, args ...any) error {
	if w.fail == nil {
		return nil
	}
	return w.fail(fmt.Sprintf(call, args...))
}

func (w *inverter) Plan(_ context.Context, v Video) (p Plan, err error) {
	if err := w.failing("plan"); err != nil {
		return p, err
	}
	for from := int64(0); from < v.Version.Size; from += unitBytes {
		spec, err := json.Marshal(span{from, min(from+unitBytes, v.Version.Size)})
		if err != nil {
			return p, err
		}
		p.Units = append(p.Units, spec)
	}
	p.Shared, err = json.Marshal(v.Version.Size)
	return p, err
}

func (w *inverter) Do(ctx context.Context, t *UnitTask) (json.RawMessage, error) {
	var s span
	if err := json.Unmarshal(t.Spec, &s); err != nil {
		return nil, err
	}
	from := s.From
	for _, segment := range t.Sealed {
		if err := json.Unmarshal(segment.Note, &from); err != nil {
			return nil, err
		}
	}
	for from < s.To {
		if err := w.failing("do %d", t.Index); err != nil {
			return nil, err
		}
		to := min(from+segmentBytes, s.To)
		path, err := w.invert(ctx, t, from, to)
		if err != nil {
			return nil, err
		}
		note, err := json.Marshal(to)
		if err != nil {
			return nil, err
		}
		if err := t.Seal(ctx, []string{path}, note); err != nil {
			return nil, err
		}
		from = to
	}
	return t.Spec, nil
}

func (w *inverter) invert(ctx context.Context, t *UnitTask, from, to int64) (string, error) {
	source, err := os.Open(t.Source)
	if err != nil {
		return "", err
	}
	defer source.Close()
	data := make([]byte, to-from)
	if _, err := source.ReadAt(data, from); err != nil {
		return "", err
	}
	path := t.Path(".seg")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	half := len(data) / 2
	if _, err := f.Write(inverted(data[:half])); err != nil {
		return "", err
	}
	if err := sleep(ctx, w.pace); err != nil {
		return "", err
	}
	_, err = f.Write(inverted(data[half:]))
	return path, err
}

func inverted(data []byte) []byte {
	out := make([]byte, len(data))
	for i, b := range data {
		out[i] = ^b
	}
	return out
}

func (w *inverter) Join(ctx context.Context, t *JoinTask) ([]JoinedFile, error) {
	if err := w.failing("join"); err != nil {
		return nil, err
	}
	var all []byte
	for i, u := range t.Units {
		var want, got span
		if err := errors.Join(json.Unmarshal(u.Spec, &want), json.Unmarshal(u.Edges, &got)); err != nil {
			return nil, err
		}
		if want != got || got.From != int64(len(all)) {
			return nil, Permanent(fmt.Errorf("unit %d is %v and not %v at %d", i, got, want, len(all)))
		}
		for _, segment := range u.Segments {
			for _, path := range segment.Paths {
				data, err := os.ReadFile(path)
				if err != nil {
					return nil, err
				}
				all = append(all, data...)
			}
		}
	}
	if err := sleep(ctx, w.pace); err != nil {
		return nil, err
	}
	final := w.final(t.Video.Path)
	files := []JoinedFile{{t.Temp(".txt"), final + ".txt"}, {t.Temp(".out"), final}}
	return files, errors.Join(
		os.WriteFile(files[0].Temp, fmt.Append(nil, len(all)), 0o600), os.WriteFile(files[1].Temp, all, 0o600))
}

func (w *inverter) final(path string) string {
	return filepath.Join(w.root, "out", strings.TrimPrefix(path, "in/")+".out")
}

func (w *inverter) Published(context.Context, Video) error { return w.failing("published") }

func (w *inverter) Failed(_ context.Context, v Video) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, v)
}

// folder is a Source of all files in a folder.
type folder struct{ root string }

func (f folder) Scan(context.Context) (found []Found, err error) {
	entries, err := os.ReadDir(filepath.Join(f.root, "in"))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, Found{Path: "in/" + e.Name(), Version: Version{Size: info.Size(), ModTime: info.ModTime()}})
	}
	return found, err
}

// rig is a root with videos, and machines in this process.
type rig struct {
	t      testing.TB
	root   string
	worker *inverter
	lease  time.Duration
	logger *zap.Logger

	mu      sync.Mutex
	renamed map[string]int
}

func newRig(t testing.TB) *rig {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "in"), 0o755))
	logger := zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel))
	return &rig{
		t: t, root: root, worker: &inverter{root: root, pace: time.Millisecond}, lease: testLease, logger: logger,
		renamed: map[string]int{},
	}
}

// addVideo writes a video of the given size, whose content no other video has.
func addVideo(t testing.TB, root, name string, size int) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(len(name)*31 + i*7 + i/251 + int(name[len(name)-1]))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "in", name), data, 0o600))
}

func (r *rig) config(name string) Config {
	cfg := DefaultConfig()
	cfg.Name, cfg.Root, cfg.Lease = "test", r.root, r.lease
	cfg.Embedded = &Embedded{Node: name, Directory: filepath.Join(r.t.TempDir(), "nats"), Listen: freeAddress(r.t)}
	return cfg
}

// cluster returns the configurations of three machines.
func (r *rig) cluster() (configs []Config) {
	var peers []string
	for range 3 {
		peers = append(peers, freeAddress(r.t))
	}
	for i, name := range []string{"a", "b", "c"} {
		cfg := r.config(name)
		cfg.Embedded.Cluster = &Cluster{peers[i], peers}
		configs = append(configs, cfg)
	}
	return configs
}

// second returns the configuration of another process on the same machine, which uses the server of the first.
func second(first Config) Config {
	cfg := first
	cfg.Servers, cfg.Embedded = []string{"nats://" + first.Embedded.Listen}, nil
	return cfg
}

func (r *rig) options(machine string) Options {
	return Options{
		Machine: machine, Made: "v1", Worker: r.worker, Source: folder{r.root}, ScanInterval: 50 * time.Millisecond,
		Logger: r.logger.Named(machine), reached: r.reached,
	}
}

func (r *rig) reached(point string) {
	if name, ok := strings.CutPrefix(point, "renamed "); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.renamed[name]++
	}
}

// start runs an engine until the returned function is called, or the test ends.
func (r *rig) start(cfg Config, opts Options) (*Engine, func()) {
	r.t.Helper()
	e, err := New(cfg, opts)
	require.NoError(r.t, err)
	return r.run(e)
}

// run runs an existing engine like start.
func (r *rig) run(e *Engine) (*Engine, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		assert.NoError(r.t, e.Run(ctx))
	}()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(stop)
	return e, stop
}

// until waits for a condition to become true.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	require.Eventually(r.t, ok, 60*time.Second, 20*time.Millisecond, what)
}

// published reports whether all sources have their outputs.
func (r *rig) published() bool { return missing(r.root) == "" }

// missing returns the name of a source that has no output yet, or an empty string.
func missing(root string) string {
	sources, _ := os.ReadDir(filepath.Join(root, "in"))
	for _, s := range sources {
		if _, err := os.Lstat(filepath.Join(root, "out", s.Name()+".out")); err != nil {
			return s.Name()
		}
	}
	return ""
}

// checkOutputs checks that each source has one output with the right content, and that there are no other files.
func checkOutputs(t testing.TB, root string) {
	t.Helper()
	sources, err := os.ReadDir(filepath.Join(root, "in"))
	require.NoError(t, err)
	want := map[string]bool{}
	for _, s := range sources {
		source, err := os.ReadFile(filepath.Join(root, "in", s.Name()))
		require.NoError(t, err)
		output, err := os.ReadFile(filepath.Join(root, "out", s.Name()+".out"))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(inverted(source), output), "the content of %s", s.Name())
		count, err := os.ReadFile(filepath.Join(root, "out", s.Name()+".out.txt"))
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprint(len(source)), string(count))
		want[s.Name()+".out"], want[s.Name()+".out.txt"] = true, true
	}
	outputs, err := os.ReadDir(filepath.Join(root, "out"))
	require.NoError(t, err)
	for _, o := range outputs {
		assert.True(t, want[o.Name()], "%s is nobody's output", o.Name())
	}
}

// leftovers returns the contents of the work folders of all videos.
func leftovers(root, share string) (names []string) {
	works := newTree(root, share).works()
	_ = filepath.WalkDir(works, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != works {
			names = append(names, path)
		}
		return nil
	})
	return names
}

// settled waits until everything is done and cleaned up, and checks the result.
func (r *rig) settled() {
	r.t.Helper()
	r.until("all are published", r.published)
	r.until("nothing is left over", func() bool { return len(leftovers(r.root, "test")) == 0 })
	checkOutputs(r.t, r.root)
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, n := range r.renamed {
		assert.Equal(r.t, 1, n, "publishers of %s", name)
	}
}

// taken has the addresses that freeAddress returned: the system may offer one again before a server listens on it.
var taken sync.Map

// freeAddress returns an address that nothing listens on, and that no other test of this package got.
func freeAddress(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := l.Addr().String()
		require.NoError(t, l.Close())
		if _, again := taken.LoadOrStore(address, true); !again {
			return address
		}
	}
}
