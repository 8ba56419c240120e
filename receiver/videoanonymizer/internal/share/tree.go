// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// treeName is the folder of all shares, below root.
const treeName = ".anonymizing-share"

// tree is what a share keeps below root:
//
//	machines/WORKER   shows that a worker sees the same folder as the others
//	work/ID-VERSION/  masked segments, outputs that are not published, and what is being published
//	journal/          the mirror of the records
type tree struct{ root, folder string }

func newTree(root, name string) tree { return tree{root, filepath.Join(root, treeName, name)} }

func (t tree) machines() string           { return filepath.Join(t.folder, "machines") }
func (t tree) works() string              { return filepath.Join(t.folder, "work") }
func (t tree) journal() string            { return filepath.Join(t.folder, "journal") }
func (t tree) abs(rel string) string      { return filepath.Join(t.root, filepath.FromSlash(rel)) }
func (t tree) work(v *Video) string       { return filepath.Join(t.works(), workName(v)) }
func (t tree) probe(worker string) string { return filepath.Join(t.machines(), worker) }

// workName returns the name of a video's folder, which changes when the source does.
func workName(v *Video) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", v.Version.Size, v.Version.ModTime.UnixNano(), v.Version.Digest))
	return videoID(v.Path) + "-" + hex.EncodeToString(sum[:4])
}

// rel returns the path relative to root, with slashes.
func (t tree) rel(path string) (string, error) {
	rel, err := filepath.Rel(t.root, path)
	if err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is not below root (%s)", path, t.root)
	}
	return filepath.ToSlash(rel), nil
}

// join creates the folders, and the probe that shows the others that this worker sees them.
func (t tree) join(worker string) error {
	if _, err := os.Stat(t.root); err != nil { // root is never created: the file server may be away
		return fmt.Errorf("root: %w", err)
	}
	for _, folder := range []string{t.machines(), t.works(), t.journal()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("root cannot be written to: %w", err)
		}
	}
	if err := durable.WriteFile(t.probe(worker), nil, durable.Private); err != nil {
		return fmt.Errorf("root cannot be written to: %w", err)
	}
	return durable.SyncPath(t.machines())
}

func (t tree) leave(worker string) { _ = os.Remove(t.probe(worker)) }

// sees fails if the folder does not have the probe of a worker.
func (t tree) sees(worker string) error {
	_, err := os.Lstat(t.probe(worker))
	return err
}

// describe flushes a file to disk, and returns its size and digest.
func describe(ctx context.Context, path string) (size int64, sum string, err error) {
	f, err := durable.Open(path, os.O_RDWR)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := durable.Sync(f); err != nil {
		return 0, "", fmt.Errorf("sync %s: %w", path, err)
	}
	return digest(ctx, f)
}

func digest(ctx context.Context, f *os.File) (int64, string, error) {
	hash := sha256.New()
	n, err := io.Copy(hash, &reader{ctx, f})
	return n, hex.EncodeToString(hash.Sum(nil)), err
}

// reader is a Reader that stops when ctx ends.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// errContent means that a file does not have the content that was recorded.
var errContent = errors.New("it does not have the recorded content")

// verify fails if the file at path does not have the given content. The error is errContent or fs.ErrNotExist if a
// retry does not help.
func verify(ctx context.Context, path string, size int64, sum string) error {
	f, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != size {
		return errors.Join(err, fmt.Errorf("%s: %w", path, errContent))
	}
	_, there, err := digest(ctx, f)
	if err == nil && there != sum {
		err = fmt.Errorf("%s: %w", path, errContent)
	}
	return err
}

// unusable reports whether an error of verify means that the file is lost, rather than out of reach.
func unusable(err error) bool { return errors.Is(err, errContent) || errors.Is(err, fs.ErrNotExist) }

// removeOwn removes the files of an epoch, by their prefix, from the folder of a video, except those in keep.
func removeOwn(folder, prefix string, keep map[string]bool) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return // collected once the video is done
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && !keep[e.Name()] {
			_ = os.Remove(filepath.Join(folder, e.Name()))
		}
	}
}
