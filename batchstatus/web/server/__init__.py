"""All that knows gunicorn, gevent and sockets: the worker, shared trips to the store, `serve`."""
