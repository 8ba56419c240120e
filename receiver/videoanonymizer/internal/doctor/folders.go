// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// folder is a folder that the configuration names, with the permissions that the collector needs in it.
type folder struct {
	key, path string
	write     bool
}

// folders checks the permissions that the user of this process has in all folders, and the free space for outputs.
func folders(cfg *config.Config) []Finding {
	takesSources := cfg.Output.OnSuccess != watch.OnSuccessKeep || cfg.Output.QuarantineDirectory != ""
	var wanted []folder
	for _, watched := range cfg.Watch.Folders() {
		wanted = append(wanted, folder{"watch::include", watched, takesSources})
	}
	wanted = append(wanted, folder{"output::directory", cfg.Output.Directory, true},
		folder{"output::state_directory", cfg.Output.StatePath(), true})
	for key, path := range map[string]string{
		"output::move_to": cfg.Output.MoveTo, "output::quarantine_directory": cfg.Output.QuarantineDirectory,
		"review::approved_directory": cfg.Review.ApprovedDirectory,
	} {
		if path != "" {
			wanted = append(wanted, folder{key, path, true})
		}
	}
	var findings []Finding
	for _, f := range wanted {
		findings = append(findings, f.examine())
	}
	return append(findings, space(cfg))
}

func (f folder) examine() Finding {
	finding := Finding{What: "folder " + f.path}
	existing, err := nearest(f.path)
	missing := err == nil && existing != absolute(f.path)
	rights, needs := uint32(unix.R_OK|unix.X_OK), "read"
	finding.Note = "can be read"
	if f.write || missing {
		rights, needs, finding.Note = rights|unix.W_OK, "read and write", "can be read and written"
	}
	if missing {
		finding.Note = "will be created"
	}
	if err == nil {
		err = unix.Faccessat(unix.AT_FDCWD, existing, rights, unix.AT_EACCESS)
	}
	if err != nil {
		finding.Missing = fmt.Errorf("%s: %s must be able to %s %s: %w: change its owner or mode, or name another "+
			"folder; under systemd, also add it to ReadWritePaths=", f.key, userName(), needs, existing, err)
	}
	return finding
}

// space checks the disk of the output directory.
func space(cfg *config.Config) Finding {
	f := Finding{What: "disk of " + cfg.Output.Directory}
	existing, err := nearest(cfg.Output.Directory)
	var stat unix.Statfs_t
	if err == nil {
		err = unix.Statfs(existing, &stat)
	}
	if err != nil {
		f.Missing = fmt.Errorf("output::directory: %w", err)
		return f
	}
	free := int64(stat.Bavail) * stat.Bsize >> 20
	f.Note = fmt.Sprintf("%d MiB free", free)
	if least := cfg.Output.MinFreeSpace; least != config.NoSpaceCheck && free <= least {
		f.Missing = fmt.Errorf("output::min_free_space: only %d MiB are free, and %d must stay free: no video would start; "+
			"delete something, or name another folder", free, least)
	}
	return f
}

// nearest returns the absolute path of a folder, or of its closest ancestor that exists.
func nearest(path string) (string, error) {
	for path = absolute(path); ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return path, unix.ENOTDIR
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return path, err
		}
	}
}

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return filepath.Clean(path)
}

func userName() string {
	if current, err := user.Current(); err == nil {
		return current.Username
	}
	return fmt.Sprintf("the user %d", os.Getuid())
}
