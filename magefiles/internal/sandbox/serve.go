package sandbox

import (
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// serve answers GET and HEAD on l with the regular files below root until the
// process ends or stop is called. Nothing outside root is reached, whatever a
// path or a symbolic link says; directories are not listed. A path's percent
// encoding is undone first: @scope%2fname is the file name in @scope.
func serve(l net.Listener, root *os.Root) (stop func()) {
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveFile(w, r, root) }),
	}
	go srv.Serve(l)
	return func() { srv.Close() }
}

func serveFile(w http.ResponseWriter, r *http.Request, root *os.Root) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "read-only", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if !fs.ValidPath(name) {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	// Looked at before it is opened: opening a fifo would block.
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	f, err := root.Open(name)
	if err != nil {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	defer f.Close()
	// Named here, because the standard library would ask the host's tables.
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, f)
}
